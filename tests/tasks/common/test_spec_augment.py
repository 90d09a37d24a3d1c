import numpy as np

from hfmm.tasks.common.spec_augment import BAND_MASKS, LONGEST, TIME_MASKS, WIDEST, spec_augment

FEATURES = np.random.default_rng(0).standard_normal((80, 500)).astype(np.float32)


def test_masked_values_are_the_mean_and_others_are_unchanged() -> None:
    masked = spec_augment(FEATURES, 300, np.random.default_rng(1))
    changed = masked != FEATURES
    assert changed.any()
    np.testing.assert_allclose(masked[changed], FEATURES[:, :300].mean(), rtol=1e-5)


def test_masks_have_bounded_width_and_stay_within_the_clip() -> None:
    for seed in range(30):
        changed = spec_augment(FEATURES, 300, np.random.default_rng(seed)) != FEATURES
        times, bands = changed.all(axis=0), changed.all(axis=1)
        assert times.sum() <= TIME_MASKS * LONGEST and bands.sum() <= BAND_MASKS * WIDEST
        assert not times[300:].any()
        assert (changed == times[None, :] | bands[:, None]).all()


def test_input_features_are_not_modified() -> None:
    before = FEATURES.copy()
    spec_augment(FEATURES, 300, np.random.default_rng(0))
    assert (before == FEATURES).all()
