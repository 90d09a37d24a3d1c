"""A benchmark case: sides that do the same work at two sizes, each in its own process. One of them is hfmm."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hfmm.errors import UserError
from hfmm.utils.hardware import peak_memory_mb

CASES = Path(__file__).parent / "cases"
SIZES = ("small", "large")


@dataclass(frozen=True)
class Job:
    """The inputs of a side: the options of the size, the folder that `prepare` wrote, and an empty folder."""

    options: Mapping[str, Any]
    prepared: Path
    scratch: Path
    checkpoint: str | None  # a folder from --checkpoint; None: random weights in the shape of the size


@dataclass(frozen=True)
class Measured:
    """The result of one run of a side.

    Peak memory is read when the object is created, so create it before any checks of the outputs.
    """

    value: float  # in the unit of the case
    outputs: list[Any] = field(default_factory=list)  # numbers or texts that should be the same on all sides
    flops: float | None = None  # floating-point operations of the model per row
    details: dict[str, float] = field(default_factory=dict)
    memory_mib: float = field(default_factory=peak_memory_mb)  # peak resident memory so far


@dataclass(frozen=True)
class Side:
    """One implementation of the work. A peer names the hfmm side that it is compared with."""

    name: str
    run: Callable[[Job], Measured]
    against: str | None = None
    same_outputs_as: str | None = None  # the side with the expected outputs, if it is not `against`
    needs: tuple[str, ...] = ()  # required modules; without them the side is reported as missing
    target: float | None = None  # how many times faster hfmm should be at the large size
    not_comparable: str | None = None  # why the outputs cannot be compared with those of hfmm


@dataclass(frozen=True)
class Case:
    """A benchmark. The first side is one of hfmm."""

    title: str
    unit: Literal["rows/s", "clips/s", "texts/s", "s"]  # for rates higher is better, for seconds lower is better
    sizes: Mapping[Literal["small", "large"], Mapping[str, Any]]
    sides: tuple[Side, ...]
    prepare: Callable[[Job], None] | None = None
    family: str | None = None  # config.model_type of the checkpoints that --checkpoint accepts
    tolerance: float = 0.02  # maximum relative difference of outputs; bf16 keeps three digits of a loss
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by size: maximum of "value" or a detail

    def side(self, name: str) -> Side:
        """Return a side by its name."""
        return next(side for side in self.sides if side.name == name)


def names() -> list[str]:
    """Return the names of all cases: the files of the folder `cases`."""
    return sorted(path.stem for path in CASES.glob("[!_]*.py"))


def load(name: str) -> Case:
    """Return a case by its name. Raises UserError with the choices if it does not exist."""
    if name not in names():
        raise UserError(f"There is no benchmark {name!r}. Choices: {', '.join(names())}.")
    case: Case = importlib.import_module(f"tests.benchmarks.cases.{name}").CASE
    return case
