"""The wheel: it has recipes, cards, templates and weights, and works without a checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_works_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    small = [
        "data.train=32",
        "data.validation=8",
        "data.test=40",
        "stages.full.num_train_epochs=1",
        "stages.head.num_train_epochs=1",
    ]
    overrides = [word for pair in small for word in ("--set", pair)]
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); "
    run_hfmm = code + "import runpy; runpy.run_module('hfmm', run_name='__main__')"
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", run_hfmm, "run", "vit_icons", *overrides],
        cwd=tmp_path / "empty", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "empty/runs/vit-icons/model/README.md").is_file()
    import_from = subprocess.run(
        [sys.executable, "-c", code + "import hfmm; print(hfmm.__file__)"],
        cwd=tmp_path / "empty", capture_output=True, text=True,
    )  # fmt: skip
    assert str(tmp_path / "site") in import_from.stdout


def test_the_wheel_is_small_and_has_no_pickle(wheel: Path) -> None:
    assert wheel.stat().st_size < 32 * 2**20
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ipynb"))]


def test_the_wheel_has_every_recipe_and_card(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    recipes = {f"hfmm/assets/recipes/{path.relative_to(ROOT / 'recipes')}" for path in ROOT.glob("recipes/**/*.yaml")}
    cards = {f"hfmm/assets/model_cards/{path.name}" for path in ROOT.glob("model_cards/*-*.md")}
    assert recipes and cards and recipes | cards <= names
    assert {"hfmm/__main__.py", "hfmm/cli/__main__.py"} <= names
