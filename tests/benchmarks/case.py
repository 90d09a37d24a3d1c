"""What a benchmark is: sides that do the same work at two sizes, one of them hfmm, each run in a process of its own."""

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
    """What a side is given: the options of its size, what `prepare` wrote, and an empty folder of its own."""

    options: Mapping[str, Any]
    prepared: Path
    scratch: Path
    checkpoint: str | None  # a folder given by hand; None: random weights in the shape of the size


@dataclass(frozen=True)
class Measured:
    """What one run of a side found; memory is read when this is made, so make it before anything is checked."""

    value: float  # in the unit of the case
    outputs: list[Any] = field(default_factory=list)  # numbers or texts that all sides should have alike
    flops: float | None = None  # floating-point operations of the model for one row
    details: dict[str, float] = field(default_factory=dict)
    memory_mib: float = field(default_factory=peak_memory_mb)  # most resident memory so far


@dataclass(frozen=True)
class Side:
    """One way of doing the work; a peer names the side of hfmm that it stands against."""

    name: str
    run: Callable[[Job], Measured]
    against: str | None = None
    alike: str | None = None  # whose outputs it should have, where that is not the side it stands against
    needs: tuple[str, ...] = ()  # modules without which it is reported as missing
    asked: float | None = None  # how many times faster hfmm is to be, at the large size
    differs: str | None = None  # why its outputs cannot be those of hfmm


@dataclass(frozen=True)
class Case:
    """A benchmark; a side of hfmm stands first."""

    title: str
    unit: Literal["rows/s", "clips/s", "texts/s", "s"]  # a rate is better high, seconds are better low
    sizes: Mapping[Literal["small", "large"], Mapping[str, Any]]
    sides: tuple[Side, ...]
    prepare: Callable[[Job], None] | None = None
    family: str | None = None  # the config's model_type of the checkpoints that can be given by hand
    tolerance: float = 0.02  # largest relative difference of outputs; bf16 keeps three digits of a loss
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by size: of "value" or a detail, at most

    def side(self, name: str) -> Side:
        """Return a side by its name."""
        return next(one for one in self.sides if one.name == name)


def names() -> list[str]:
    """Return the cases there are: the folder is the registry."""
    return sorted(path.stem for path in CASES.glob("[!_]*.py"))


def load(name: str) -> Case:
    """Return a case by name; raises UserError with the choices when there is none."""
    if name not in names():
        raise UserError(f"There is no benchmark {name!r}. Choices: {', '.join(names())}.")
    found: Case = importlib.import_module(f"tests.benchmarks.cases.{name}").CASE
    return found
