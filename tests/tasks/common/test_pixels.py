import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessor

from hfmm.data.common.images import encode
from hfmm.errors import UserError
from hfmm.tasks.common.pixels import ImageBatcher


def test_batches_equal_the_processor_output_with_and_without_cache() -> None:
    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    images = [Image.new("RGB", (20, 20), (40 * number, 10, 200)) for number in range(4)]
    rows = [{"id": str(number), "image": encode(image)} for number, image in enumerate(images)]
    batcher = ImageBatcher(processor)
    for order in ([0, 1], [2, 1, 3], [3, 0, 0]):
        expected = processor(images=[images[index] for index in order], return_tensors="pt")
        batch = batcher([rows[index] for index in order])
        assert list(batch) == list(expected)
        assert torch.equal(batch["pixel_values"], expected["pixel_values"])


def test_invalid_image_raises_error_with_the_row_id() -> None:
    with pytest.raises(UserError, match="row seven"):
        ImageBatcher(ViTImageProcessor())([{"id": "seven", "image": {"bytes": b"not an image", "path": None}}])
