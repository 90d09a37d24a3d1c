"""Drawing primitives of the synthetic datasets: fonts, backgrounds, shapes, words and noise.

All random numbers come from the generator in the arguments, so an image is a pure function of its seed.
"""

from __future__ import annotations

import colorsys
import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

# Images are drawn larger by this factor and then reduced, because Pillow does not antialias shapes.
SUPERSAMPLING = 2


@lru_cache(maxsize=1)
def matplotlib_fonts() -> Path:
    """Return the folder of the TrueType fonts of matplotlib (DejaVu, STIX, Computer Modern)."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache(maxsize=1024)
def font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a font at ``size`` pixels. A name without a folder is a font of matplotlib."""
    file = matplotlib_fonts() / f"{path}.ttf" if "/" not in path and "\\" not in path else Path(path)
    return ImageFont.truetype(str(file), size)


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Return 8-bit RGB for a hue in degrees, and a saturation and value from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb((hue % 360) / 360, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def background(rng: np.random.Generator, kind: str, size: int) -> Image.Image:
    """Return a square background with little color.

    ``kind`` is one of plain, gradient, stripes, dots, grid, checks, waves, clouds. The saturation is below 0.15, so
    that only the shapes drawn on the background have strong colors.
    """
    base, other = (_pale_color(rng) for _ in range(2))
    image = Image.new("RGB", (size, size), base)
    draw = ImageDraw.Draw(image)
    step = int(rng.integers(size // 12, size // 5))
    match kind:
        case "plain":
            pass
        case "gradient":
            image = _blend(base, other, _ramp(rng, size))
        case "waves":
            ramp = _ramp(rng, size)
            image = _blend(base, other, 0.5 + 0.5 * np.sin(ramp * rng.uniform(15, 40)))
        case "clouds":
            coarse = Image.fromarray((rng.random((5, 5)) * 255).astype(np.uint8))
            smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
            image = _blend(base, other, smooth / 255)
        case "stripes":
            for x in range(-size, 2 * size, 2 * step):
                draw.line([(x, 0), (x + int(size * rng.choice([-0.4, 0.4])), size)], fill=other, width=step // 2)
        case "dots":
            for x in range(0, size, step):
                for y in range(0, size, step):
                    draw.ellipse([x, y, x + step // 3, y + step // 3], fill=other)
        case "grid":
            for position in range(0, size, step):
                draw.line([(position, 0), (position, size)], fill=other, width=2)
                draw.line([(0, position), (size, position)], fill=other, width=2)
        case "checks":
            for x in range(0, size, step):
                for y in range(0, size, step):
                    if (x + y) // step % 2:
                        draw.rectangle([x, y, x + step, y + step], fill=other)
        case _:
            raise ValueError(f"Unknown background {kind!r}.")
    return image


def polygon(sides: int, center: tuple[float, float], radius: float, angle: float) -> list[tuple[float, float]]:
    """Return the corners of a regular polygon. With ``angle`` 0 (radians) its base is horizontal."""
    start = math.pi / 2 + math.pi / sides + angle
    return [
        (
            center[0] + radius * math.cos(start + corner * 2 * math.pi / sides),
            center[1] + radius * math.sin(start + corner * 2 * math.pi / sides),
        )
        for corner in range(sides)
    ]


class TextBox(NamedTuple):
    """The position of a word: its center, its angle in degrees, the edges of its letters and its height.

    The edges go from left to right. Edges and height are in pixels, relative to the center of the unrotated word.
    """

    center: tuple[float, float]
    angle: float
    edges: tuple[float, ...]
    height: float

    def char_at(self, x: float, y: float) -> int | None:
        """Return the index of the letter at a point of the image, or None outside the word."""
        angle = math.radians(self.angle)
        dx, dy = x - self.center[0], y - self.center[1]
        word_x = dx * math.cos(angle) - dy * math.sin(angle)
        word_y = dx * math.sin(angle) + dy * math.cos(angle)
        if abs(word_y) > self.height / 2 or not self.edges[0] <= word_x < self.edges[-1]:
            return None
        return sum(edge <= word_x for edge in self.edges) - 1


def paste_word(
    image: Image.Image,
    word: str,
    font_path: str,
    *,
    center: tuple[float, float],
    width: float,
    height: float,
    angle: float,
    ink: Color,
    halo: Color | None,
) -> TextBox:
    """Draw ``word`` on ``image``, as large as fits ``width`` x ``height`` pixels, rotated by ``angle`` degrees."""
    box = font(font_path, 100).getbbox(word)
    size = max(8, int(100 * min(width / (box[2] - box[0]), height / (box[3] - box[1]))))
    sized_font = font(font_path, size)
    stroke = max(1, size // 14) if halo is not None else 0
    left, top, right, bottom = sized_font.getbbox(word, stroke_width=stroke)
    layer = Image.new("RGBA", (math.ceil(right - left) + 2, math.ceil(bottom - top) + 2), (*(halo or ink), 0))
    ImageDraw.Draw(layer).text(
        (1 - left, 1 - top), word, font=sized_font, fill=(*ink, 255), stroke_width=stroke, stroke_fill=halo
    )
    edges = tuple(sized_font.getlength(word[:count]) - (left + right) / 2 for count in range(len(word) + 1))
    if angle:
        layer = layer.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    image.paste(layer, (round(center[0] - layer.width / 2), round(center[1] - layer.height / 2)), layer)
    return TextBox(center, angle, edges, bottom - top)


def downsample_and_add_noise(rng: np.random.Generator, image: Image.Image, size: int, noise: float) -> Image.Image:
    """Reduce a supersampled image to ``size`` pixels and add Gaussian noise of standard deviation up to ``noise``.

    ``noise`` is in gray levels (of 255).
    """
    small = image.resize((size, size), Image.Resampling.BOX)
    sigma = rng.uniform(0, noise)
    gray_noise = rng.standard_normal((size, size, 1), dtype=np.float32) * sigma
    return Image.fromarray(np.clip(np.asarray(small, dtype=np.float32) + gray_noise, 0, 255).astype(np.uint8))


def contrasting_color(rng: np.random.Generator, color: Color) -> Color:
    """Return near-black or near-white, whichever contrasts with ``color``."""
    luminance = (0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]) / 255
    level = int(rng.integers(0, 40)) if luminance > 0.55 else int(rng.integers(225, 256))
    return level, level, level


def _pale_color(rng: np.random.Generator) -> Color:
    is_dark = rng.random() < 0.25
    return hsv(rng.uniform(0, 360), rng.uniform(0, 0.12), rng.uniform(0.1, 0.3) if is_dark else rng.uniform(0.8, 1))


def _ramp(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a ramp from 0 to 1 in a random direction, of shape ``(size, size)``."""
    direction = rng.uniform(0, 2 * math.pi)
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    distance = x * math.cos(direction) + y * math.sin(direction)
    ramp: np.ndarray = (distance - distance.min()) / (distance.max() - distance.min())
    return ramp


def _blend(base: Color, other: Color, weight: np.ndarray) -> Image.Image:
    mixed = np.asarray(base) + weight[..., None] * (np.asarray(other) - np.asarray(base))
    return Image.fromarray(mixed.astype(np.uint8))
