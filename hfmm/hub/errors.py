"""Why the Hub did not do what it was asked, for people."""

from __future__ import annotations

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from hfmm.errors import UserError
from hfmm.hub.retry import root_cause

LOGIN = "Log in with `hf auth login`, with a token that may write"

BY_STATUS = {
    401: f"The Hub does not accept your token for {{repo}} (401). {LOGIN}.",
    403: f"The Hub forbids it (403): your token may not write to {{repo}}. {LOGIN} there, or choose another name.",
    404: "The Hub knows no {repo} (404): the owner does not exist, or it is private and not yours.",
    409: "The Hub reports a conflict on {repo} (409): something else is changing it.",
    412: "The Hub refused the commit (412): {repo} was changed meanwhile.",
    413: "The Hub finds what was sent too large (413).",
    429: "The Hub is asked too often (429), and still so after waiting as long as it asked for.",
}


def explain(error: BaseException, repo: str) -> str:
    """Return one sentence or two on why a call about ``repo`` failed."""
    error = root_cause(error)
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, LocalTokenNotFoundError):
        return f"You are not logged in. {LOGIN}."
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the Hub cannot be asked. Unset it."
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
        if status == 401 and get_token() is None:
            return f"The Hub shows no {repo} to who is not logged in (401). Check the name. {LOGIN} if you publish."
        if status in BY_STATUS:
            return BY_STATUS[status].format(repo=repo)
        what = "failed, and went on failing" if status >= 500 else "refused"
        return f"The Hub {what} ({status}): {_server_message(error)}"
    if isinstance(error, httpx2.TimeoutException):
        return f"{constants.ENDPOINT} did not answer in time, more than once."
    if isinstance(error, httpx2.TransportError):
        return f"The connection to {constants.ENDPOINT} broke, more than once ({type(error).__name__})."
    return f"The Hub's client gave up: {(str(error).strip() or type(error).__name__).splitlines()[0]}"


def _server_message(error: HfHubHTTPError) -> str:
    return (error.server_message or str(error).strip()).splitlines()[0].rstrip(".") + "."
