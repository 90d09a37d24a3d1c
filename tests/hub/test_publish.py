"""One run is published as a user does it; what it left on the Hub is looked at from all sides."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from hfmm.cli import publish
from hfmm.cli.console import confirm_upload
from hfmm.errors import UserError
from tests.hub.client import client
from tests.hub.fake_hub import Entry, Hub, serve

REPO, ADAPTER, INT8, BASE = "me/tiny", "me/tiny-adapter", "me/tiny-int8", "me/tiny-base"
EVERYWHERE = ("--repo", REPO, "--adapter-repo", ADAPTER, "--int8-repo", INT8)
CANARIES = {"SOME_API_KEY": "sk-canary-0123456789abcdef", "HOSTNAME": "canary-host-42"}

Call = Callable[..., subprocess.CompletedProcess[str]]


class Published(NamedTuple):
    hub: Hub
    run: Path
    call: Call
    said: str


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, finished_run: Path, tiny_vit: Path) -> Iterator[Published]:
    """The finished run, as if its checkpoint had come from the Hub, pushed with its adapter and with int8 weights."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(finished_run, folder / "run")
    with serve(Hub(folder / "hub", xet=True)) as hub:
        with client(hub.environment(), folder / "child") as child:
            (folder / "base").mkdir()
            for path in tiny_vit.iterdir():
                shutil.copyfile(path, folder / "base" / path.name)
            (folder / "base/README.md").write_text("---\nlicense: mit\n---\n# The base\n")
            commit = child("push", folder=folder / "base", repo=BASE)["commit"]
        recipe = folder / "run/recipe.yaml"
        text = recipe.read_text().replace(f"checkpoint: {tiny_vit}", f"checkpoint: {BASE}")
        recipe.write_text(text.replace("revision: null", f"revision: {commit}"))
        results = json.loads((folder / "run/results.json").read_text())
        (folder / "run/results.json").write_text(json.dumps({**results, "bases": {BASE: commit}}))
        home = {"HOME": str(folder / "canary-home"), "HF_HOME": str(folder / "canary-home/hf")}
        environment = {**os.environ, **CANARIES, **home, **hub.environment()}

        def call(*arguments: object) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "hfmm.cli", *map(str, arguments)]
            return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

        done = call("publish", "run", *EVERYWHERE, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        yield Published(hub, folder / "run", call, done.stdout)


@pytest.fixture(scope="module")
def there(published: Published) -> dict[str, bytes]:
    """The files of the repository, but for the weights, which lie in the xet store."""
    return {path: entry.content for path, entry in _entries(published.hub, REPO).items() if entry.content is not None}


def test_it_shows_what_it_sends_and_proves_what_arrived(published: Published) -> None:
    said = published.said
    assert f"{REPO} (public model, licence mit, base model {BASE})" in said
    assert re.search(r"model\.safetensors +\d+\.\d kB", said)
    assert re.search(r"push +me/tiny v1 at [0-9a-f]{8}: pushed", said)
    assert "downloaded by id: 32 predictions and the card's snippet reproduced" in said
    assert "base and adapter by their ids make the same weights" in said
    assert "int8 weights downloaded by id: the same 32 predictions as those written here" in said


def test_the_same_run_again_sends_nothing(published: Published) -> None:
    before = dict(published.hub.repositories["models", REPO].commits)
    done = published.call("publish", "run", *EVERYWHERE, "--yes")
    assert done.stdout.count("was there already, nothing was sent") == 3, done.stdout + done.stderr
    assert published.hub.repositories["models", REPO].commits == before
    assert {*published.hub.repositories["models", REPO].tags} == {"v1"}


def test_the_card_names_its_base_and_inherits_its_licence(there: dict[str, bytes]) -> None:
    text = there["README.md"].decode()
    data = ModelCard(text).data.to_dict()
    assert (data["base_model"], data["base_model_relation"], data["license"]) == (BASE, "finetune", "mit")
    assert data["widget"][0]["src"] == f"https://huggingface.co/{REPO}/resolve/main/example.png"
    assert data["pipeline_tag"] == "image-classification"
    assert f'snapshot_download("{REPO}")' in text
    assert f"hfmm reproduce {REPO}" in text
    assert "@article{vit," in text and "@article{lora," in text


def test_recipe_record_and_provenance_lie_beside_it(published: Published, there: dict[str, bytes]) -> None:
    base = published.hub.repositories["models", BASE]
    assert f"  revision: {base.branches['main']}\n" in there["recipe.yaml"].decode()
    assert there["results.json"] == (published.run / "results.json").read_bytes()
    manifest = json.loads(there["hfmm.json"])
    assert manifest["data"] == json.loads(there["results.json"])["data"]["fingerprint"]
    assert manifest["bases"] == [{"id": BASE, "revision": base.branches["main"]}]
    assert {"model.safetensors", "config.json", "preprocessor_config.json"} <= {*manifest["files"]}


def test_nothing_of_this_machine_is_published(published: Published, there: dict[str, bytes]) -> None:
    secrets = [*CANARIES.values(), published.hub.environment()["HF_TOKEN"], "canary-home", str(published.run.parent)]
    weights = (published.run / "model/model.safetensors").read_bytes()
    for name, content in {**there, "weights": weights}.items():
        assert not [one for one in secrets if one.encode() in content], name


def test_the_adapter_names_its_base_by_its_id(published: Published) -> None:
    files = _entries(published.hub, ADAPTER)
    settings = json.loads(published.hub.read(files["adapter_config.json"]))
    assert settings["base_model_name_or_path"] == BASE
    data = ModelCard(published.hub.read(files["README.md"]).decode()).data.to_dict()
    assert (data["base_model_relation"], data["library_name"], data["license"]) == ("adapter", "peft", "mit")


def test_the_card_of_the_int8_weights_names_the_full_model_and_shows_both_sizes(published: Published) -> None:
    files = _entries(published.hub, INT8)
    assert {"model.safetensors", "config.json", "preprocessor_config.json", "example.png"} <= {*files}
    full = _entries(published.hub, REPO)["model.safetensors"].size
    text = published.hub.read(files["README.md"]).decode()
    assert re.search(rf"\| file size of the weights \| \S+ kB \| {full / 1000:.1f} kB \|", text)
    data = ModelCard(text).data.to_dict()
    assert (data["base_model"], data["base_model_relation"], data["license"]) == (REPO, "quantized", "mit")
    assert str(published.run.parent).encode() not in b"".join(entry.content or b"" for entry in files.values())


@pytest.mark.parametrize("repo", [REPO, INT8])
def test_anyone_can_predict_by_id(published: Published, repo: str) -> None:
    done = published.call("predict", repo, "run/model/example.png")
    assert len(json.loads(done.stdout)["prediction"]) == 3, done.stderr


def test_anyone_can_reproduce_it_by_id(published: Published) -> None:
    done = published.call("reproduce", REPO, "--out", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"data +the same, SHA-256", done.stdout)
    assert re.search(r"accuracy +\S+ published, \S+ again: exactly", done.stdout)


def test_a_branch_is_published_verified_and_loaded_as_a_branch(published: Published) -> None:
    repo, adapter = "me/branched", "me/branched-adapter"
    done = published.call("publish", "run", "--repo", repo, "--adapter-repo", adapter, "--revision", "dev", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "downloaded by id: 32 predictions and the card's snippet reproduced" in done.stdout
    assert "base and adapter by their ids make the same weights" in done.stdout
    where = f'"{repo}", revision="dev"'
    assert f'load           transformers.pipeline("image-classification", model={where})' in done.stdout
    branches = published.hub.repositories["models", repo], published.hub.repositories["models", adapter]
    card, loading = (published.hub.read(one.commits[one.branches["dev"]]["README.md"]).decode() for one in branches)
    assert f"snapshot_download({where})" in card and f"hfmm reproduce {repo} --revision dev" in card
    assert f"AutoConfig.from_pretrained({where})" in loading
    assert f'PeftModel.from_pretrained(base, "{adapter}", revision="dev")' in loading


@pytest.mark.parametrize("other", ["--adapter-repo", "--int8-repo"])
def test_two_repositories_of_one_name_are_refused_before_anything_is_made(published: Published, other: str) -> None:
    done = published.call("publish", "run", "--repo", "me/both", other, "me/Both")
    assert done.returncode == 2 and "me/both would be two repositories at once" in done.stderr, done.stderr
    assert ("models", "me/both") not in published.hub.repositories


def test_a_dry_run_sends_nothing_and_an_embedded_checkpoint_goes_first(published: Published, tmp_path: Path) -> None:
    shutil.copytree(published.run, tmp_path / "run")
    recipe = tmp_path / "run/recipe.yaml"
    text = re.sub("revision: .*", "revision: null", recipe.read_text())
    recipe.write_text(text.replace(f"checkpoint: {BASE}", "checkpoint: builtin:tiny-vit"))
    before = {*published.hub.repositories}
    done = published.call("publish", tmp_path / "run", "--repo", "me/other", "--dry-run")
    assert done.returncode == 0, done.stderr
    first, second = (done.stdout.index(name) for name in ("me/tiny-vit (public", "me/other (public"))
    assert first < second
    assert "me/other (public model, licence apache-2.0, base model me/tiny-vit)" in done.stdout
    assert "Nothing was sent: this was a dry run." in done.stdout
    assert {*published.hub.repositories} == before


def test_a_run_that_fails_its_verification_is_sent_only_where_that_is_allowed_and_its_card_says_so(
    published: Published, tmp_path: Path
) -> None:
    run, repo = tmp_path / "run", "me/unproved"
    shutil.copytree(published.run, run)
    weights = run / "model/model.safetensors"
    save_file({name: -value for name, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    done = published.call("publish", run, "--repo", repo)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "Verification failed: for row" in done.stderr
    assert "Nothing was sent; --allow-unverified publishes it, and the card says so." in done.stderr
    assert ("models", repo) not in published.hub.repositories
    done = published.call("publish", run, "--repo", repo, "--allow-unverified", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reproduced" not in done.stdout
    files = {name: entry.content or b"" for name, entry in _entries(published.hub, repo).items()}
    card = files["README.md"].decode()
    assert card.index("> **Not verified.** The check that plain `transformers` says what this card says failed") < (
        card.index("A 0.0 M parameter model")
    )
    assert re.search(r"> Verification failed: for row .* but transformers.pipeline on this repository gives", card)
    assert json.loads(files["results.json"])["verified"] is None
    assert str(tmp_path).encode() not in b"".join(files.values())


def _entries(hub: Hub, repo: str) -> dict[str, Entry]:
    repository = hub.repositories["models", repo]
    return repository.commits[repository.branches["main"]]


@pytest.mark.parametrize(
    ("dry_run", "yes", "terminal", "sent"),
    [(False, True, False, True), (True, False, False, False), (True, True, True, False), (False, True, True, True)],
)
def test_what_is_said_beforehand_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, dry_run: bool, yes: bool, terminal: bool, sent: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal)
    assert confirm_upload(dry_run, yes)() is sent


@pytest.mark.parametrize("name", ["tiny", "me/tiny/v1", "../tiny", "me/../x"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="owner/name"):
        publish.parse_repo_id(name, "model", private=False)
