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


def test_photo_depends_only_on_the_seed() -> None:
    first, same_seed, other_seed = (
        camera_augment.simulate_photo(PAGE, DESK, 48, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert first.size == (48, 48)
    assert first.mode == "RGB"
    assert first.tobytes() == same_seed.tobytes() != other_seed.tobytes()


def test_photo_does_not_modify_page_and_desk() -> None:
    before = PAGE.tobytes(), DESK.tobytes()
    camera_augment.simulate_photo(PAGE, DESK, 48, np.random.default_rng(0))
    assert (PAGE.tobytes(), DESK.tobytes()) == before


def test_homography_maps_source_points_to_targets() -> None:
    source, target = ((0, 0), (10, 1), (11, 9), (-1, 12)), ((5, 5), (25, 4), (22, 30), (3, 28))
    a, b, c, d, e, f, g, h = homography(source, target)
    for (x, y), (u, v) in zip(source, target, strict=True):
        scale = g * x + h * y + 1
        assert ((a * x + b * y + c) / scale, (d * x + e * y + f) / scale) == pytest.approx((u, v))


def test_warp_onto_whole_desk_keeps_page() -> None:
    image = warp_onto(PAGE, DESK, ((0, 0), (96, 0), (96, 96), (0, 96)))
    assert image.tobytes() == PAGE.tobytes()


def test_warp_onto_part_of_desk_keeps_the_rest() -> None:
    values = pixels(warp_onto(Image.new("RGB", (96, 96), "white"), DESK, ((40, 40), (56, 40), (56, 56), (40, 56))))
    assert tuple(values[48, 48]) == (255, 255, 255)
    assert tuple(values[2, 2]) == (90, 60, 30)


def test_random_corners_keep_print_area_inside_image() -> None:
    print_corners = [(x, y) for x in (MARGIN, 1 - MARGIN) for y in (MARGIN, 1 - MARGIN)]
    for seed in range(500):
        corners = random_corners(np.random.default_rng(seed), 1)
        a, b, c, d, e, f, g, h = homography(((0, 0), (1, 0), (1, 1), (0, 1)), corners)
        for x, y in print_corners:
            scale = g * x + h * y + 1
            assert 0 <= (a * x + b * y + c) / scale <= 1
            assert 0 <= (d * x + e * y + f) / scale <= 1
        assert abs(math.atan2(corners[1][1] - corners[0][1], corners[1][0] - corners[0][0])) < 0.15


def test_lighting_is_uneven_and_keeps_white_page_bright() -> None:
    white = Image.new("RGB", (64, 64), "white")
    for seed in range(50):
        lit = pixels(apply_lighting(white, np.random.default_rng(seed)))
        assert lit.min() > 90
    assert pixels(apply_lighting(white, np.random.default_rng(1))).std() > 1


def test_sensor_noise_and_jpeg_change_pixels_slightly() -> None:
    for degraded in (add_sensor_noise(PAGE, np.random.default_rng(0), 6), jpeg(PAGE, 90)):
        assert degraded.size == PAGE.size
        assert 0 < np.abs(pixels(degraded) - pixels(PAGE)).mean() < 10
    assert np.abs(pixels(jpeg(PAGE, 20)) - pixels(PAGE)).mean() > np.abs(pixels(jpeg(PAGE, 90)) - pixels(PAGE)).mean()
