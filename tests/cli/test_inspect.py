from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "on_invalid_row=jump",
            "--set on_invalid_row=jump: 'on_invalid_row' is 'jump': input should be 'error' or 'skip'",
        ),
        ("builder=icons", "--set builder=icons: the argument DATA already sets the dataset to photos"),
        ("path=other", "--set path=other: the argument DATA already sets the dataset to photos"),
        ("columns={image: a", "'data.columns' is '{image: a': input should be a valid dictionary"),
        ("seed", "--set seed: write it as key=value"),
    ],
)
def test_invalid_dataset_override_is_reported(fails: Callable[..., str], override: str, message: str) -> None:
    assert message in fails("inspect", "gap", "builtin:tiny-clip", "photos", "--set", override)
