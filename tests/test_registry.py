import pytest

from hfmm import registry
from hfmm.errors import UserError


@pytest.mark.parametrize("name", ["./photos", "../photos", "."])
def test_path_is_rejected_as_dotted_path(name: str) -> None:
    with pytest.raises(UserError, match=r"data\.builder: '.*' is not a dotted path"):
        registry.get("data", name, "data.builder")
