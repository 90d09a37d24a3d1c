"""What a camera does to a flat page: perspective, shadow, warm or cold light, blur, noise, JPEG.

Every function draws from the generator it is given and from nothing else. Strengths are such that a
page whose letters are six pixels wide stays legible.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageFilter

Point = tuple[float, float]

MARGIN = 0.08  # of the page on each side: what is printed further inside stays in the picture


def simulate_photo(page: Image.Image, desk: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """Return ``page`` as photographed on ``desk``, RGB, ``size`` pixels a side; both come square and larger."""
    image = warp_onto(page, desk, random_corners(rng, page.width))
    image = apply_lighting(image, rng)
    image = image.resize((size, size), Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.45) * max(1, size / 128)))
    return jpeg(add_sensor_noise(image, rng, 6), quality=int(rng.integers(55, 96)))


def random_corners(rng: np.random.Generator, size: int) -> tuple[Point, Point, Point, Point]:
    """Return where the corners of a page come to lie in a frame of ``size`` pixels, clockwise from the upper left.

    The page turns by up to 5 degrees, and each corner strays by up to 2 % of the frame.
    """
    turn, reach = rng.uniform(-0.09, 0.09), size * rng.uniform(0.48, 0.51) * math.sqrt(2)
    found = []
    for corner in range(4):
        angle = turn + math.pi * (1.25 + corner / 2)
        stray_x, stray_y = size * rng.uniform(-0.02, 0.02, 2)
        found.append((size / 2 + reach * math.cos(angle) + stray_x, size / 2 + reach * math.sin(angle) + stray_y))
    return found[0], found[1], found[2], found[3]


def warp_onto(page: Image.Image, desk: Image.Image, where: tuple[Point, Point, Point, Point]) -> Image.Image:
    """Return ``desk`` with ``page`` laid on it in perspective, its corners at ``where`` (pixels of the desk)."""
    coefficients = homography(where, ((0, 0), (page.width, 0), (page.width, page.height), (0, page.height)))
    opaque = page.convert("RGBA")
    laid = opaque.transform(desk.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    # The page throws a soft shadow on the desk, or its edge would look cut out.
    width = desk.width
    shadow = laid.getchannel("A").filter(ImageFilter.GaussianBlur(width / 40)).point(lambda alpha: alpha * 0.6)
    image = desk.copy()
    image.paste(Image.new("RGB", desk.size, "black"), (width // 100, width // 60), shadow)
    image.paste(laid, (0, 0), laid)
    return image


def homography(source: tuple[Point, ...], target: tuple[Point, ...]) -> tuple[float, ...]:
    """Return Pillow's eight PERSPECTIVE coefficients of the map that takes four source points to four targets."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(float(one) for one in np.linalg.solve(np.array(rows), np.array(values)))


def apply_lighting(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return ``image`` under light that falls off to one side, is a little warm or cold, and may meet a shadow."""
    height, width = image.height, image.width
    y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
    direction = rng.uniform(0, 2 * math.pi)
    level = 1 + rng.uniform(0, 0.35) * (x * math.cos(direction) + y * math.sin(direction))
    if rng.random() < 0.4:
        edge = rng.uniform(0, 2 * math.pi)
        beyond = x * math.cos(edge) + y * math.sin(edge) - rng.uniform(-0.1, 0.35)
        level *= 1 - rng.uniform(0.15, 0.4) / (1 + np.exp(-beyond / rng.uniform(0.01, 0.06)))
    warmth = rng.uniform(-0.06, 0.08)
    gains = rng.uniform(0.85, 1.02) * np.array([1 + warmth, 1, 1 - warmth])
    return _image(np.asarray(image, dtype=np.float32) * level[..., None] * gains)


def add_sensor_noise(image: Image.Image, rng: np.random.Generator, most: float) -> Image.Image:
    """Return ``image`` with the noise of a sensor, a standard deviation of up to ``most`` (of 255) in each channel."""
    noise = rng.standard_normal((image.height, image.width, 3), dtype=np.float32)
    return _image(np.asarray(image, dtype=np.float32) + noise * rng.uniform(0, most))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return ``image`` as it comes out of a JPEG file of this quality (1 to 95)."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
