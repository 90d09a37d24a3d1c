import math

import numpy as np
import pytest
from PIL import Image

from hfmm.data.common import camera_augment
from hfmm.data.common.camera_augment import (
    MARGIN,
    add_sensor_noise,
    apply_lighting,
    homography,
    jpeg,
    random_corners,
    warp_onto,
)

PAGE = Image.effect_noise((96, 96), 60).convert("RGB")
DESK = Image.new("RGB", (96, 96), (90, 60, 30))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)


def test_the_same_generator_takes_the_same_photograph_and_another_takes_another() -> None:
    first, again, other = (
        camera_augment.simulate_photo(PAGE, DESK, 48, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert first.size == (48, 48)
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_the_page_and_the_desk_are_left_as_they_were() -> None:
    before = PAGE.tobytes(), DESK.tobytes()
    camera_augment.simulate_photo(PAGE, DESK, 48, np.random.default_rng(0))
    assert (PAGE.tobytes(), DESK.tobytes()) == before


def test_a_homography_takes_each_point_to_its_target() -> None:
    source, target = ((0, 0), (10, 1), (11, 9), (-1, 12)), ((5, 5), (25, 4), (22, 30), (3, 28))
    a, b, c, d, e, f, g, h = homography(source, target)
    for (x, y), (u, v) in zip(source, target, strict=True):
        scale = g * x + h * y + 1
        assert ((a * x + b * y + c) / scale, (d * x + e * y + f) / scale) == pytest.approx((u, v))


def test_a_page_laid_straight_and_full_covers_the_desk_unchanged() -> None:
    laid = warp_onto(PAGE, DESK, ((0, 0), (96, 0), (96, 96), (0, 96)))
    assert laid.tobytes() == PAGE.tobytes()


def test_a_page_laid_smaller_leaves_the_desk_to_be_seen() -> None:
    laid = pixels(warp_onto(Image.new("RGB", (96, 96), "white"), DESK, ((40, 40), (56, 40), (56, 56), (40, 56))))
    assert tuple(laid[48, 48]) == (255, 255, 255)
    assert tuple(laid[2, 2]) == (90, 60, 30)


def test_what_is_printed_inside_the_margin_stays_in_the_picture() -> None:
    inner = [(x, y) for x in (MARGIN, 1 - MARGIN) for y in (MARGIN, 1 - MARGIN)]
    for seed in range(500):
        where = random_corners(np.random.default_rng(seed), 1)
        a, b, c, d, e, f, g, h = homography(((0, 0), (1, 0), (1, 1), (0, 1)), where)
        for x, y in inner:
            scale = g * x + h * y + 1
            assert 0 <= (a * x + b * y + c) / scale <= 1
            assert 0 <= (d * x + e * y + f) / scale <= 1
        assert abs(math.atan2(where[1][1] - where[0][1], where[1][0] - where[0][0])) < 0.15


def test_light_is_uneven_but_leaves_a_white_page_brighter_than_any_ink() -> None:
    white = Image.new("RGB", (64, 64), "white")
    for seed in range(50):
        lit = pixels(apply_lighting(white, np.random.default_rng(seed)))
        assert lit.min() > 90
    assert pixels(apply_lighting(white, np.random.default_rng(1))).std() > 1


def test_grain_and_jpeg_change_pixels_a_little_and_not_the_picture() -> None:
    for worse in (add_sensor_noise(PAGE, np.random.default_rng(0), 6), jpeg(PAGE, 90)):
        assert worse.size == PAGE.size
        assert 0 < np.abs(pixels(worse) - pixels(PAGE)).mean() < 10
    assert np.abs(pixels(jpeg(PAGE, 20)) - pixels(PAGE)).mean() > np.abs(pixels(jpeg(PAGE, 90)) - pixels(PAGE)).mean()
