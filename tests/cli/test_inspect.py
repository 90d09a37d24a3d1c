from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "on_invalid_row=jump",
            "--set on_invalid_row=jump: 'on_invalid_row' is 'jump': input should be 'error' or 'skip'",
        ),
        ("builder=icons", "--set builder=icons: the dataset is photos, named behind the model"),
        ("path=elsewhere", "--set path=forgetting: the dataset is photos, named behind the model"),
        ("columns={image: a", "'data.columns' is '{image: a': input should be a valid dictionary"),
        ("seed", "--set seed: write it as key=value"),
    ],
)
def test_an_override_that_does_not_fit_the_dataset_says_so(
    fails: Callable[..., str], override: str, words: str
) -> None:
    assert words in fails("inspect", "gap", "builtin:tiny-clip", "photos", "--set", override)
