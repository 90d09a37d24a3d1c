"""Simulated photographs of a flat page: perspective, shadow, light color, blur, noise and JPEG.

All random numbers come from the generator in the arguments. The strengths are chosen so that a page with letters six
pixels wide stays legible.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageFilter

Point = tuple[float, float]

MARGIN = 0.08  # of the page on each side: print inside the margins is always within the image


def simulate_photo(page: Image.Image, desk: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """Return an RGB photo of ``page`` on ``desk``, ``size`` pixels per side. Both inputs are square and larger."""
    image = warp_onto(page, desk, random_corners(rng, page.width))
    image = apply_lighting(image, rng)
    image = image.resize((size, size), Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.45) * max(1, size / 128)))
    return jpeg(add_sensor_noise(image, rng, 6), quality=int(rng.integers(55, 96)))


def random_corners(rng: np.random.Generator, size: int) -> tuple[Point, Point, Point, Point]:
    """Return the corners of a page in a frame of ``size`` pixels, clockwise from the upper left.

    The page is rotated by up to 5 degrees, and each corner is moved by up to 2 % of the frame.
    """
    rotation, radius = rng.uniform(-0.09, 0.09), size * rng.uniform(0.48, 0.51) * math.sqrt(2)
    corners = []
    for corner in range(4):
        angle = rotation + math.pi * (1.25 + corner / 2)
        offset_x, offset_y = size * rng.uniform(-0.02, 0.02, 2)
        corners.append((size / 2 + radius * math.cos(angle) + offset_x, size / 2 + radius * math.sin(angle) + offset_y))
    return corners[0], corners[1], corners[2], corners[3]


def warp_onto(page: Image.Image, desk: Image.Image, corners: tuple[Point, Point, Point, Point]) -> Image.Image:
    """Return ``desk`` with ``page`` on it in perspective, with its corners at ``corners`` (in pixels of the desk)."""
    coefficients = homography(corners, ((0, 0), (page.width, 0), (page.width, page.height), (0, page.height)))
    opaque_page = page.convert("RGBA")
    warped = opaque_page.transform(desk.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    # Without a soft shadow on the desk, the edge of the page looks cut out.
    width = desk.width
    shadow = warped.getchannel("A").filter(ImageFilter.GaussianBlur(width / 40)).point(lambda alpha: alpha * 0.6)
    image = desk.copy()
    image.paste(Image.new("RGB", desk.size, "black"), (width // 100, width // 60), shadow)
    image.paste(warped, (0, 0), warped)
    return image


def homography(source: tuple[Point, ...], target: tuple[Point, ...]) -> tuple[float, ...]:
    """Return the eight PERSPECTIVE coefficients of Pillow that map four source points to four target points."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(float(coefficient) for coefficient in np.linalg.solve(np.array(rows), np.array(values)))


def apply_lighting(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return ``image`` with a brightness gradient, a slightly warm or cold light, and sometimes a shadow."""
    height, width = image.height, image.width
    y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
    direction = rng.uniform(0, 2 * math.pi)
    level = 1 + rng.uniform(0, 0.35) * (x * math.cos(direction) + y * math.sin(direction))
    if rng.random() < 0.4:
        shadow_direction = rng.uniform(0, 2 * math.pi)
        distance = x * math.cos(shadow_direction) + y * math.sin(shadow_direction) - rng.uniform(-0.1, 0.35)
        level *= 1 - rng.uniform(0.15, 0.4) / (1 + np.exp(-distance / rng.uniform(0.01, 0.06)))
    warmth = rng.uniform(-0.06, 0.08)
    gains = rng.uniform(0.85, 1.02) * np.array([1 + warmth, 1, 1 - warmth])
    return _image(np.asarray(image, dtype=np.float32) * level[..., None] * gains)


def add_sensor_noise(image: Image.Image, rng: np.random.Generator, max_std: float) -> Image.Image:
    """Return ``image`` with Gaussian noise in each channel, of standard deviation up to ``max_std`` (of 255)."""
    noise = rng.standard_normal((image.height, image.width, 3), dtype=np.float32)
    return _image(np.asarray(image, dtype=np.float32) + noise * rng.uniform(0, max_std))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return ``image`` after JPEG compression with this quality (1 to 95)."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
