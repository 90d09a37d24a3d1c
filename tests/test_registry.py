import pytest

from hfmm import registry
from hfmm.errors import UserError


@pytest.mark.parametrize("name", ["./photos", "../photos", "."])
def test_a_path_is_no_dotted_path(name: str) -> None:
    with pytest.raises(UserError, match=r"data\.builder: '.*' is no dotted path"):
        registry.get("data", name, "data.builder")
