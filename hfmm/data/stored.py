"""The file behind a media value of a row, whether it travels as bytes or lies at a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfmm.errors import UserError


def read_bytes(value: Any) -> bytes:
    """Return the bytes of ``{"bytes", "path"}`` or of a path; raises OSError or TypeError where there are none."""
    data = value.get("bytes") if isinstance(value, dict) else None
    path: Any = value.get("path") if isinstance(value, dict) else value
    return bytes(data) if data is not None else Path(path).read_bytes()


def contents(value: Any, kind: str) -> tuple[str, bytes]:
    """Return the name and the bytes of a media file; raises UserError for a missing or an empty one."""
    path = value.get("path") if isinstance(value, dict) else value
    name = Path(path).name if path else f"the {kind}"
    try:
        data = read_bytes(value)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist.") from None
    except TypeError:
        raise UserError(f"{name} is missing: the row holds neither bytes nor a path.") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}.") from None
    if not data:
        raise UserError(f"{name} is empty (zero bytes).")
    return name, data
