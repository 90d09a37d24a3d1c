from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.hub.files import CHUNK_SIZE, files_in_folder, repo_file
from hfmm.hub.secrets import check_no_secrets


def test_hashes_equal_those_of_git_and_lfs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    file = files_in_folder(tmp_path)["a.txt"]
    assert file.sha1 == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert file.sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert file == repo_file("a.txt", b"hello\n")._replace(source=file.source)


def test_symbolic_link_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="symbolic link"):
        files_in_folder(tmp_path)


def test_symbolic_link_to_a_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "inner").symlink_to("/etc")
    with pytest.raises(UserError, match="symbolic link"):
        files_in_folder(tmp_path)


@pytest.mark.parametrize("name", ["../a.txt", "a/../../b.txt", "/etc/a.txt", "a\\b.txt"])
def test_name_outside_the_repository_is_rejected(name: str) -> None:
    with pytest.raises(UserError, match="not a path inside the repository"):
        repo_file(name, b"x")


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "optimizer.pkl", "weights.npy", "run.sh", "noending"])
def test_file_type_that_may_run_code_is_rejected(name: str) -> None:
    with pytest.raises(UserError, match="does not publish files of this type"):
        repo_file(name, b"x")


def test_pickle_with_another_suffix_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError, match="is a pickle or a zip archive"):
        files_in_folder(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", "x")
    with pytest.raises(UserError, match="is a pickle or a zip archive"):
        files_in_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key sk-canary-0123456789", "the value of SOME_API_KEY"),
        ("hf_" + "a" * 34, "a Hub token"),
        ("at canary-host-42.", "the host name canary-host-42"),
        ("in /home/somebody/data", "the path /home/somebody"),
        ("in {folder}/recipe.yaml", "the path of the run"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "deep/b.md"])
def test_file_with_machine_secrets_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, secret: str, name: str
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-canary-0123456789")
    monkeypatch.setenv("HOSTNAME", "canary-host-42")
    file = repo_file(name, b" " * CHUNK_SIZE + text.format(folder=tmp_path).encode())
    with pytest.raises(UserError, match=f"{name} contains {secret}"):
        check_no_secrets({name: file}, tmp_path)


def test_secret_across_two_chunks_of_the_weights_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cr3t-value")
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\0" * (CHUNK_SIZE - 5) + b"s3cr3t-value" + b"\0")
    with pytest.raises(UserError, match="the value of MY_SECRET"):
        check_no_secrets(files_in_folder(tmp_path), tmp_path)


def test_urls_and_relative_paths_are_not_secrets(tmp_path: Path) -> None:
    text = "https://huggingface.co/me/data and/or model/README.md, 1/2, see data/train.parquet; token: a word"
    check_no_secrets({"a.md": repo_file("a.md", text.encode())}, tmp_path)
