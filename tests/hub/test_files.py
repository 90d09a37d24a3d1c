from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.hub.files import CHUNK_SIZE, files_in_folder, repo_file
from hfmm.hub.secrets import check_no_secrets


def test_the_hashes_are_those_of_git_and_lfs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    file = files_in_folder(tmp_path)["a.txt"]
    assert file.sha1 == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert file.sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert file == repo_file("a.txt", b"hello\n")._replace(source=file.source)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="symbolic link"):
        files_in_folder(tmp_path)


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").symlink_to("/etc")
    with pytest.raises(UserError, match="symbolic link"):
        files_in_folder(tmp_path)


@pytest.mark.parametrize("name", ["../a.txt", "a/../../b.txt", "/etc/a.txt", "a\\b.txt"])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="leads out"):
        repo_file(name, b"x")


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "optimizer.pkl", "weights.npy", "run.sh", "noending"])
def test_a_format_that_may_run_code_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="no kind of file"):
        repo_file(name, b"x")


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError, match="pickle"):
        files_in_folder(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", "x")
    with pytest.raises(UserError, match="pickle"):
        files_in_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("key sk-canary-0123456789", "the value of SOME_API_KEY"),
        ("hf_" + "a" * 34, "a Hub token"),
        ("at canary-host-42.", "the host name canary-host-42"),
        ("in /home/somebody/data", "the path /home/somebody"),
        ("in {folder}/recipe.yaml", "the path of the run"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "deep/b.md"])
def test_what_belongs_to_the_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str, name: str
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-canary-0123456789")
    monkeypatch.setenv("HOSTNAME", "canary-host-42")
    file = repo_file(name, b" " * CHUNK_SIZE + text.format(folder=tmp_path).encode())
    with pytest.raises(UserError, match=f"{name} holds {words}"):
        check_no_secrets({name: file}, tmp_path)


def test_what_belongs_to_the_machine_is_found_in_weights_where_two_pieces_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cr3t-value")
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\0" * (CHUNK_SIZE - 5) + b"s3cr3t-value" + b"\0")
    with pytest.raises(UserError, match="the value of MY_SECRET"):
        check_no_secrets(files_in_folder(tmp_path), tmp_path)


def test_ordinary_words_pass(tmp_path: Path) -> None:
    text = "https://huggingface.co/me/data and/or model/README.md, 1/2, see data/train.parquet; token: a word"
    check_no_secrets({"a.md": repo_file("a.md", text.encode())}, tmp_path)
