from pathlib import Path

import pytest
from datasets import Dataset

from hfmm.data.common.audio_folder import load_audio_folder
from hfmm.errors import UserError


def load_with_metadata(folder: Path, metadata: str | bytes) -> Dataset:
    folder.mkdir(exist_ok=True)
    (folder / "metadata.csv").write_bytes(metadata.encode() if isinstance(metadata, str) else metadata)
    return load_audio_folder(folder, folder / "cache")["train"]


@pytest.mark.parametrize("texts", [["None", "null"], ["007", "12"], ["1.50", ""], ['"a, b"', '"say ""a"""']])
def test_transcripts_are_kept_as_written(tmp_path: Path, texts: list[str]) -> None:
    lines = ["file_name,transcript", *(f"a.wav,{text}" for text in texts)]
    rows = load_with_metadata(tmp_path, "".join(f"{line}\n" for line in lines))
    unquoted = [text.removeprefix('"').removesuffix('"').replace('""', '"') for text in texts]
    assert rows["transcript"][:] == unquoted


def test_numeric_file_name_and_brackets_in_folder_name(tmp_path: Path) -> None:
    rows = load_with_metadata(tmp_path / "rec [old]", "\ufefffile_name,transcript\n007,He works.\n")
    assert rows["audio"][:] == [{"bytes": None, "path": str(tmp_path / "rec [old]" / "007")}]


def test_parquet_metadata_in_folder_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "rec [old]"
    folder.mkdir()
    Dataset.from_dict({"file_name": ["a.wav"], "transcript": ["7"]}).to_parquet(str(folder / "metadata.parquet"))
    assert load_audio_folder(folder, tmp_path / "cache")["train"]["transcript"][:] == ["7"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("file_name,transcript\na.wav,He works.\nb.wav,He works, she said.\n", "metadata.csv, line 3, has more cells"),
        ('file_name,transcript\na.wav,"He works.\nb.wav,He works.\n', "cannot be read as CSV from line 2 on"),
        ("file_name,transcript\na.wav,Müller\n".encode("cp1252"), "metadata.csv is not UTF-8"),
        ("", "metadata.csv has no column 'file_name'; it has none"),
    ],
)
def test_invalid_metadata_is_reported_with_line(tmp_path: Path, metadata: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_with_metadata(tmp_path, metadata)
