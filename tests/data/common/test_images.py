import io
from pathlib import Path

import pytest
from PIL import Image

from hfmm.data.common.images import decode, encode
from hfmm.errors import UserError


def write_invalid_image(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.png"
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, format="PNG")
    match kind:
        case "truncated":
            path.write_bytes(buffer.getvalue()[:900])
        case "empty":
            path.touch()
        case "text":
            path.write_text("not an image at all")
        case "bomb":
            Image.new("1", (20_000, 20_000)).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "truncated.png is damaged"),
        ("empty", "empty.png is empty"),
        ("text", "text.png is not an image"),
        ("bomb", "bomb.png has more than 89,478,485 pixels"),
        ("missing", "missing.png does not exist"),
    ],
)
def test_decode_reports_invalid_files(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        decode({"path": str(write_invalid_image(kind, tmp_path)), "bytes": None})


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_decode_rejects_more_than_8_bits_per_gray_level(mode: str) -> None:
    buffer = io.BytesIO()
    image = Image.new(mode, (4, 4), 700)
    image.save(buffer, format="TIFF")
    for value in (image, {"bytes": buffer.getvalue(), "path": "x/scan.tif"}):
        with pytest.raises(
            UserError, match=r"(the image|scan.tif) has more than 8 bits per gray level .* Save it with 8"
        ):
            decode(value)


def test_encode_and_decode_round_trip() -> None:
    image = Image.effect_noise((9, 7), 50).convert("RGB")
    assert decode(encode(image)).tobytes() == image.tobytes()


def test_decode_applies_exif_orientation() -> None:
    image = Image.new("RGB", (10, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", exif=exif)
    assert decode({"bytes": buffer.getvalue(), "path": None}).size == (4, 10)
