"""A call to the Hub, made again after what passes: a server that is busy or failing, a connection that breaks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub import get_session
from huggingface_hub.errors import HfHubHTTPError

Answer = TypeVar("Answer")

TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
MAX_ATTEMPTS = 4
FIRST_WAIT, LONGEST_WAIT = 1.0, 120.0  # seconds
READ_TIMEOUT = (
    60.0  # seconds without a byte after which a connection counts as broken; the client itself waits for ever
)


def with_retries(call: Callable[[], Answer]) -> Answer:
    """Return what the call returns; it is made again, ever later or as late as the Hub asks, while what fails may pass.

    Raises what the last try raised.
    """
    wait = FIRST_WAIT
    for left in reversed(range(MAX_ATTEMPTS)):
        get_session().timeout = httpx2.Timeout(READ_TIMEOUT, connect=10.0)
        try:
            return call()
        except (httpx2.HTTPError, OSError, RuntimeError) as error:
            if not left or not is_transient(error):
                raise
            time.sleep(min(retry_after(error) or wait, LONGEST_WAIT))
            wait *= 2
    raise AssertionError("the last try returns or raises")


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call may succeed later."""
    error = root_cause(error)
    if isinstance(error, HfHubHTTPError):
        return error.response is not None and error.response.status_code in TRANSIENT_STATUS
    return isinstance(error, httpx2.TransportError)


def root_cause(error: BaseException) -> BaseException:
    """Return what went wrong beneath the client's own errors, which name the file but not the reason."""
    while error.__cause__ is not None and not isinstance(error, HfHubHTTPError | httpx2.TransportError):
        error = error.__cause__
    return error


def retry_after(error: BaseException) -> float | None:
    """Return for how many seconds the Hub asks to be left alone."""
    response = getattr(root_cause(error), "response", None)
    value = response.headers.get("Retry-After", "") if response is not None else ""
    return float(value) if value.isdecimal() else None
