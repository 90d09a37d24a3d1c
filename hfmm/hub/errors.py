"""Explanations of failed Hub calls for the user."""

from __future__ import annotations

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from hfmm.errors import UserError
from hfmm.hub.retry import root_cause

LOGIN = "Log in with `hf auth login` and a token that has write access"

BY_STATUS = {
    401: f"The Hub does not accept your token for {{repo}} (401). {LOGIN}.",
    403: f"Your token has no write access to {{repo}} (403). {LOGIN}, or choose another name.",
    404: "{repo} was not found on the Hub (404). Its owner does not exist, or it is private and you have no access.",
    409: "The Hub reports a conflict on {repo} (409): it is being changed by another process.",
    412: "The Hub rejected the commit (412): {repo} was changed in the meantime.",
    413: "The Hub rejected the upload as too large (413).",
    429: "The Hub still reports too many requests (429) after the requested wait.",
}


def explain(error: BaseException, repo: str) -> str:
    """Return one or two sentences on why a call about ``repo`` failed."""
    error = root_cause(error)
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, LocalTokenNotFoundError):
        return f"You are not logged in. {LOGIN}."
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the Hub cannot be reached. Unset it."
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
        if status == 401 and get_token() is None:
            return f"{repo} was not found on the Hub without login (401). Check the name. {LOGIN} if you publish."
        if status in BY_STATUS:
            return BY_STATUS[status].format(repo=repo)
        problem = "failed repeatedly" if status >= 500 else "rejected the request"
        return f"The Hub {problem} ({status}): {_server_message(error)}"
    if isinstance(error, httpx2.TimeoutException):
        return f"{constants.ENDPOINT} did not answer in time in several attempts."
    if isinstance(error, httpx2.TransportError):
        return f"The connection to {constants.ENDPOINT} broke in several attempts ({type(error).__name__})."
    return f"The call to the Hub failed: {(str(error).strip() or type(error).__name__).splitlines()[0]}"


def _server_message(error: HfHubHTTPError) -> str:
    return (error.server_message or str(error).strip()).splitlines()[0].rstrip(".") + "."
