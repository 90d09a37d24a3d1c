"""The examples in the docstrings of the public API and of the base classes."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["hfmm.api", "hfmm.models.common.family", "hfmm.recipe.load", "hfmm.recipe.passthrough", "hfmm.tasks.base"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    examples = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert examples, "the module has no example"
    results = doctest.testmod(module)
    assert (results.failed, results.attempted > 0) == (0, True)
