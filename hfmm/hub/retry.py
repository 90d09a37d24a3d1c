"""Retries of Hub calls after transient failures: a busy or failing server, a broken connection."""

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
# Seconds without a byte after which a connection counts as broken. The client itself would wait forever.
READ_TIMEOUT = 60.0


def with_retries(call: Callable[[], Answer]) -> Answer:
    """Call the function and retry transient failures with exponential backoff, honoring `Retry-After`.

    Raises the exception of the last attempt.
    """
    wait = FIRST_WAIT
    for attempts_left in reversed(range(MAX_ATTEMPTS)):
        get_session().timeout = httpx2.Timeout(READ_TIMEOUT, connect=10.0)
        try:
            return call()
        except (httpx2.HTTPError, OSError, RuntimeError) as error:
            if not attempts_left or not is_transient(error):
                raise
            time.sleep(min(retry_after(error) or wait, LONGEST_WAIT))
            wait *= 2
    raise AssertionError("the last attempt returns or raises")


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed later."""
    error = root_cause(error)
    if isinstance(error, HfHubHTTPError):
        return error.response is not None and error.response.status_code in TRANSIENT_STATUS
    return isinstance(error, httpx2.TransportError)


def root_cause(error: BaseException) -> BaseException:
    """Return the HTTP error behind an error of the client, which names the file but not the reason."""
    while error.__cause__ is not None and not isinstance(error, HfHubHTTPError | httpx2.TransportError):
        error = error.__cause__
    return error


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that the Hub asks to wait before the next request, if it does."""
    response = getattr(root_cause(error), "response", None)
    value = response.headers.get("Retry-After", "") if response is not None else ""
    return float(value) if value.isdecimal() else None
