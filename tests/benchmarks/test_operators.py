from __future__ import annotations

import pytest

from tests.benchmarks.operators import OUTSIDE, REST, kind, shares


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("aten::addmm", "matrix products"),
        ("aten::mkldnn_convolution", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("aten::_fused_adamw_", "optimizer"),
        ("aten::_foreach_norm", "optimizer"),
        ("aten::native_layer_norm_backward", "norms, softmax, activations"),
        ("aten::copy_", "copies and casts"),
        ("aten::scatter", REST),
    ],
)
def test_an_operator_belongs_to_the_kind_that_its_name_tells(operator: str, expected: str) -> None:
    assert kind(operator) == expected


def test_what_no_operator_took_is_outside_torch() -> None:
    found = shares({"aten::mm": 1.5e6, "aten::bmm": 0.5e6, "aten::copy_": 1e6}, 4.0)
    assert found["matrix products"] == 0.5
    assert found["copies and casts"] == 0.25
    assert found[OUTSIDE] == 0.25
    assert sum(found.values()) == 1
