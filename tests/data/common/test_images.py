import io
from pathlib import Path

import pytest
from PIL import Image

from hfmm.data.common.images import decode, encode
from hfmm.errors import UserError


def damaged(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.png"
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, format="PNG")
    match kind:
        case "truncated":
            path.write_bytes(buffer.getvalue()[:900])
        case "empty":
            path.touch()
        case "text":
            path.write_text("not a picture at all")
        case "bomb":
            Image.new("1", (20_000, 20_000)).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "truncated.png is damaged"),
        ("empty", "empty.png is empty"),
        ("text", "text.png is not an image"),
        ("bomb", "bomb.png has more than 89,478,485 pixels"),
        ("missing", "missing.png does not exist"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, kind: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        decode({"path": str(damaged(kind, tmp_path)), "bytes": None})


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_grey_of_more_than_eight_bits_is_refused_and_not_white(mode: str) -> None:
    buffer = io.BytesIO()
    picture = Image.new(mode, (4, 4), 700)
    picture.save(buffer, format="TIFF")
    for value in (picture, {"bytes": buffer.getvalue(), "path": "x/scan.tif"}):
        with pytest.raises(
            UserError, match=r"(the image|scan.tif) holds grey levels of more than 8 bits .* Save it with 8"
        ):
            decode(value)


def test_pictures_survive_the_round_trip() -> None:
    picture = Image.effect_noise((9, 7), 50).convert("RGB")
    assert decode(encode(picture)).tobytes() == picture.tobytes()


def test_the_camera_orientation_is_applied() -> None:
    picture = Image.new("RGB", (10, 4))
    exif = picture.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", exif=exif)
    assert decode({"bytes": buffer.getvalue(), "path": None}).size == (4, 10)
