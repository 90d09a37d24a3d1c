import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessor

from hfmm.data.common.images import encode
from hfmm.errors import UserError
from hfmm.tasks.common.pixels import ImageBatcher


def test_pixels_are_those_of_the_processor_whatever_was_seen_before() -> None:
    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    pictures = [Image.new("RGB", (20, 20), (40 * number, 10, 200)) for number in range(4)]
    rows = [{"id": str(number), "image": encode(picture)} for number, picture in enumerate(pictures)]
    pixels = ImageBatcher(processor)
    for order in ([0, 1], [2, 1, 3], [3, 0, 0]):
        expected = processor(images=[pictures[place] for place in order], return_tensors="pt")
        found = pixels([rows[place] for place in order])
        assert list(found) == list(expected)
        assert torch.equal(found["pixel_values"], expected["pixel_values"])


def test_a_picture_that_does_not_decode_is_named_by_its_row() -> None:
    with pytest.raises(UserError, match="row seven"):
        ImageBatcher(ViTImageProcessor())([{"id": "seven", "image": {"bytes": b"no picture", "path": None}}])
