from pathlib import Path

import pytest
from datasets import Dataset

from hfmm.data.common.audio_folder import load_audio_folder
from hfmm.errors import UserError


def read(folder: Path, table: str | bytes) -> Dataset:
    folder.mkdir(exist_ok=True)
    (folder / "metadata.csv").write_bytes(table.encode() if isinstance(table, str) else table)
    return load_audio_folder(folder, folder / "cache")["train"]


@pytest.mark.parametrize("texts", [["None", "null"], ["007", "12"], ["1.50", ""], ['"a, b"', '"say ""a"""']])
def test_a_transcript_stays_as_it_is_written(tmp_path: Path, texts: list[str]) -> None:
    rows = read(tmp_path, "".join(f"{line}\n" for line in ["file_name,transcript", *(f"a.wav,{one}" for one in texts)]))
    plain = [one.removeprefix('"').removesuffix('"').replace('""', '"') for one in texts]
    assert rows["transcript"][:] == plain


def test_a_file_name_may_be_a_number_and_its_folder_hold_brackets(tmp_path: Path) -> None:
    rows = read(tmp_path / "rec [old]", "\ufefffile_name,transcript\n007,He works.\n")
    assert rows["audio"][:] == [{"bytes": None, "path": str(tmp_path / "rec [old]" / "007")}]


def test_a_table_in_parquet_may_lie_in_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "rec [old]"
    folder.mkdir()
    Dataset.from_dict({"file_name": ["a.wav"], "transcript": ["7"]}).to_parquet(str(folder / "metadata.parquet"))
    assert load_audio_folder(folder, tmp_path / "cache")["train"]["transcript"][:] == ["7"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file_name,transcript\na.wav,He works.\nb.wav,He works, she said.\n", "metadata.csv, line 3, has more cells"),
        ('file_name,transcript\na.wav,"He works.\nb.wav,He works.\n', "cannot be read as CSV from line 2 on"),
        ("file_name,transcript\na.wav,Müller\n".encode("cp1252"), "metadata.csv is not UTF-8"),
        ("", "metadata.csv has no column 'file_name'; it has none"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(tmp_path: Path, table: str | bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, table)
