"""The report of `hfmm env`: what is installed, for bug reports and a first look."""

from __future__ import annotations

import os
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

from hfmm.utils.hardware import environment_info

HUB_TIMEOUT_SECONDS = 3.0


def environment_report() -> dict[str, str]:
    """Return versions, hardware, precision and its reason, decoders, and whether the Hub can be reached."""
    environment = environment_info("auto")
    return {
        "python": f"{environment['python']} on {environment['system']}",
        **environment["packages"],
        "hardware": environment["hardware"],
        "threads": str(environment["threads"]),
        "precision": f"{environment['precision']}: {environment['precision_reason']}",
        "image decoders": _image_decoders(),
        "audio decoder": "soundfile" if find_spec("soundfile") else "none (pip install soundfile)",
        "Hub": _hub_status(),
    }


def _image_decoders() -> str:
    from PIL import features

    formats = {"jpg": "JPEG", "zlib": "PNG", "webp": "WebP", "libtiff": "TIFF", "avif": "AVIF"}
    return "Pillow: " + ", ".join(name for feature, name in formats.items() if features.check(feature))


def _hub_status() -> str:
    """Return whether the Hub can be reached. This is the only network call of hfmm without a Hub id from the user."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "not checked: HF_HUB_OFFLINE is set"
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_TIMEOUT_SECONDS) as response:
            status = response.status
    except (OSError, HTTPException) as error:
        reason = type(error).__name__
        return f"{constants.ENDPOINT} cannot be reached ({reason}); recipes with builtin: models need no network"
    token = "logged in" if os.environ.get("HF_TOKEN") or Path(constants.HF_TOKEN_PATH).exists() else "no token"
    return f"{constants.ENDPOINT} can be reached ({status}), {token}"
