"""Publish a run through the command line, and check the resulting repositories on the Hub."""

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
REPO_OPTIONS = ("--repo", REPO, "--adapter-repo", ADAPTER, "--int8-repo", INT8)
CANARIES = {"SOME_API_KEY": "sk-canary-0123456789abcdef", "HOSTNAME": "canary-host-42"}

Call = Callable[..., subprocess.CompletedProcess[str]]


class Published(NamedTuple):
    hub: Hub
    run: Path
    call: Call
    stdout: str


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, finished_run: Path, tiny_vit: Path) -> Iterator[Published]:
    """The finished run with a checkpoint from the Hub, published with its adapter and its int8 weights."""
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

        completed = call("publish", "run", *REPO_OPTIONS, "--yes")
        assert completed.returncode == 0, completed.stdout + completed.stderr
        yield Published(hub, folder / "run", call, completed.stdout)


@pytest.fixture(scope="module")
def repo_files(published: Published) -> dict[str, bytes]:
    """The files of the model repository without the weights, which are in the xet store."""
    return {path: entry.content for path, entry in _entries(published.hub, REPO).items() if entry.content is not None}


def test_publish_reports_the_upload_and_its_verification(published: Published) -> None:
    stdout = published.stdout
    assert f"{REPO} (public model, license mit, base model {BASE})" in stdout
    assert re.search(r"model\.safetensors +\d+\.\d kB", stdout)
    assert re.search(r"push +me/tiny v1 at [0-9a-f]{8}: pushed", stdout)
    assert "downloaded by id: 32 predictions and the card's snippet reproduced" in stdout
    assert "adapter and base model downloaded by id give the same weights" in stdout
    assert "int8 weights downloaded by id: 32 predictions match those made locally" in stdout


def test_publishing_the_same_run_again_sends_nothing(published: Published) -> None:
    commits = dict(published.hub.repositories["models", REPO].commits)
    completed = published.call("publish", "run", *REPO_OPTIONS, "--yes")
    assert completed.stdout.count("already up to date, nothing was sent") == 3, completed.stdout + completed.stderr
    assert published.hub.repositories["models", REPO].commits == commits
    assert {*published.hub.repositories["models", REPO].tags} == {"v1"}


def test_card_names_the_base_model_and_inherits_its_license(repo_files: dict[str, bytes]) -> None:
    text = repo_files["README.md"].decode()
    data = ModelCard(text).data.to_dict()
    assert (data["base_model"], data["base_model_relation"], data["license"]) == (BASE, "finetune", "mit")
    assert data["widget"][0]["src"] == f"https://huggingface.co/{REPO}/resolve/main/example.png"
    assert data["pipeline_tag"] == "image-classification"
    assert f'snapshot_download("{REPO}")' in text
    assert f"hfmm reproduce {REPO}" in text
    assert "@article{vit," in text and "@article{lora," in text


def test_recipe_results_and_provenance_are_in_the_repository(
    published: Published, repo_files: dict[str, bytes]
) -> None:
    base = published.hub.repositories["models", BASE]
    assert f"  revision: {base.branches['main']}\n" in repo_files["recipe.yaml"].decode()
    assert repo_files["results.json"] == (published.run / "results.json").read_bytes()
    manifest = json.loads(repo_files["hfmm.json"])
    assert manifest["data"] == json.loads(repo_files["results.json"])["data"]["fingerprint"]
    assert manifest["bases"] == [{"id": BASE, "revision": base.branches["main"]}]
    assert {"model.safetensors", "config.json", "preprocessor_config.json"} <= {*manifest["files"]}


def test_no_machine_secrets_are_published(published: Published, repo_files: dict[str, bytes]) -> None:
    secrets = [*CANARIES.values(), published.hub.environment()["HF_TOKEN"], "canary-home", str(published.run.parent)]
    weights = (published.run / "model/model.safetensors").read_bytes()
    for name, content in {**repo_files, "weights": weights}.items():
        assert not [secret for secret in secrets if secret.encode() in content], name


def test_adapter_names_its_base_model_by_hub_id(published: Published) -> None:
    files = _entries(published.hub, ADAPTER)
    settings = json.loads(published.hub.read(files["adapter_config.json"]))
    assert settings["base_model_name_or_path"] == BASE
    data = ModelCard(published.hub.read(files["README.md"]).decode()).data.to_dict()
    assert (data["base_model_relation"], data["library_name"], data["license"]) == ("adapter", "peft", "mit")


def test_int8_card_names_the_full_model_and_both_sizes(published: Published) -> None:
    files = _entries(published.hub, INT8)
    assert {"model.safetensors", "config.json", "preprocessor_config.json", "example.png"} <= {*files}
    full = _entries(published.hub, REPO)["model.safetensors"].size
    text = published.hub.read(files["README.md"]).decode()
    assert re.search(rf"\| file size of the weights \| \S+ kB \| {full / 1000:.1f} kB \|", text)
    data = ModelCard(text).data.to_dict()
    assert (data["base_model"], data["base_model_relation"], data["license"]) == (REPO, "quantized", "mit")
    assert str(published.run.parent).encode() not in b"".join(entry.content or b"" for entry in files.values())


@pytest.mark.parametrize("repo", [REPO, INT8])
def test_published_model_predicts_by_hub_id(published: Published, repo: str) -> None:
    completed = published.call("predict", repo, "run/model/example.png")
    assert len(json.loads(completed.stdout)["prediction"]) == 3, completed.stderr


def test_published_run_is_reproduced_by_hub_id(published: Published) -> None:
    completed = published.call("reproduce", REPO, "--out", "reproduced")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert re.search(r"data +the same, SHA-256", completed.stdout)
    assert re.search(r"accuracy +\S+ published, \S+ reproduced: equal", completed.stdout)


def test_publish_to_a_branch_verifies_and_names_the_branch(published: Published) -> None:
    repo, adapter = "me/branched", "me/branched-adapter"
    completed = published.call(
        "publish", "run", "--repo", repo, "--adapter-repo", adapter, "--revision", "dev", "--yes"
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "downloaded by id: 32 predictions and the card's snippet reproduced" in completed.stdout
    assert "adapter and base model downloaded by id give the same weights" in completed.stdout
    model_args = f'"{repo}", revision="dev"'
    assert f'load           transformers.pipeline("image-classification", model={model_args})' in completed.stdout
    repositories = published.hub.repositories["models", repo], published.hub.repositories["models", adapter]
    card, adapter_card = (
        published.hub.read(repository.commits[repository.branches["dev"]]["README.md"]).decode()
        for repository in repositories
    )
    assert f"snapshot_download({model_args})" in card and f"hfmm reproduce {repo} --revision dev" in card
    assert f"AutoConfig.from_pretrained({model_args})" in adapter_card
    assert f'PeftModel.from_pretrained(base, "{adapter}", revision="dev")' in adapter_card


@pytest.mark.parametrize("option", ["--adapter-repo", "--int8-repo"])
def test_duplicate_repository_ids_are_rejected_before_any_upload(published: Published, option: str) -> None:
    completed = published.call("publish", "run", "--repo", "me/both", option, "me/Both")
    assert completed.returncode == 2 and "me/both would be used for two repositories" in completed.stderr, (
        completed.stderr
    )
    assert ("models", "me/both") not in published.hub.repositories


def test_dry_run_lists_the_builtin_base_first_and_sends_nothing(published: Published, tmp_path: Path) -> None:
    shutil.copytree(published.run, tmp_path / "run")
    recipe = tmp_path / "run/recipe.yaml"
    text = re.sub("revision: .*", "revision: null", recipe.read_text())
    recipe.write_text(text.replace(f"checkpoint: {BASE}", "checkpoint: builtin:tiny-vit"))
    repositories = {*published.hub.repositories}
    completed = published.call("publish", tmp_path / "run", "--repo", "me/other", "--dry-run")
    assert completed.returncode == 0, completed.stderr
    first, second = (completed.stdout.index(name) for name in ("me/tiny-vit (public", "me/other (public"))
    assert first < second
    assert "me/other (public model, license apache-2.0, base model me/tiny-vit)" in completed.stdout
    assert "Nothing was sent: this was a dry run." in completed.stdout
    assert {*published.hub.repositories} == repositories


def test_unverified_run_is_only_sent_if_allowed_and_its_card_reports_it(published: Published, tmp_path: Path) -> None:
    run, repo = tmp_path / "run", "me/unverified"
    shutil.copytree(published.run, run)
    weights = run / "model/model.safetensors"
    save_file({name: -value for name, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    completed = published.call("publish", run, "--repo", repo)
    assert completed.returncode == 2 and "Traceback" not in completed.stderr, completed.stderr
    assert "Verification failed: for row" in completed.stderr
    assert "Nothing was sent. Pass --allow-unverified to publish anyway; the card will report it." in completed.stderr
    assert ("models", repo) not in published.hub.repositories
    completed = published.call("publish", run, "--repo", repo, "--allow-unverified", "--yes")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "reproduced" not in completed.stdout
    files = {name: entry.content or b"" for name, entry in _entries(published.hub, repo).items()}
    card = files["README.md"].decode()
    assert card.index("> **Not verified.** Plain `transformers` did not reproduce this card") < (
        card.index("This image-classification model has ")
    )
    assert re.search(r"> Verification failed: for row .* but transformers.pipeline on this repository gives", card)
    assert json.loads(files["results.json"])["verified"] is None
    assert str(tmp_path).encode() not in b"".join(files.values())


def _entries(hub: Hub, repo: str) -> dict[str, Entry]:
    repository = hub.repositories["models", repo]
    return repository.commits[repository.branches["main"]]


@pytest.mark.parametrize(
    ("dry_run", "yes", "is_terminal", "sent"),
    [(False, True, False, True), (True, False, False, False), (True, True, True, False), (False, True, True, True)],
)
def test_confirm_upload_does_not_prompt_for_yes_or_dry_run(
    monkeypatch: pytest.MonkeyPatch, dry_run: bool, yes: bool, is_terminal: bool, sent: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: is_terminal)
    assert confirm_upload(dry_run, yes)() is sent


@pytest.mark.parametrize("name", ["tiny", "me/tiny/v1", "../tiny", "me/../x"])
def test_invalid_repository_id_is_rejected(name: str) -> None:
    with pytest.raises(UserError, match="owner/name"):
        publish.parse_repo_id(name, "model", private=False)
