"""The type of a dataset row, which builders, tasks and metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
