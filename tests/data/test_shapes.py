from pathlib import Path

import numpy as np

from hfmm.data import shapes


def test_all_classes_are_equally_frequent_with_different_captions(tmp_path: Path) -> None:
    data = shapes.build(shapes.ShapesOptions(train=1, validation=1, test=2 * len(shapes.CLASSES), size=16), tmp_path)[
        "test"
    ]
    counts = {text: data["group"][:].count(text) for text in set(data["group"][:])}
    assert set(counts.values()) == {2}
    assert len(counts) == len(shapes.CLASSES)
    assert "an orange star" in counts


def test_the_center_of_a_shape_has_its_color() -> None:
    rng = np.random.default_rng(0)
    for color, low, high in (("red", 340, 20), ("green", 100, 140), ("blue", 220, 260)):
        pixels = np.asarray(shapes.draw(color, "ellipse", 64, rng).convert("HSV"))[28:36, 28:36, 0]
        hue = float(np.median(pixels)) * 360 / 256
        assert low <= hue <= high or (low > high and (hue >= low or hue <= high))
