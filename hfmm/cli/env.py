"""What this installation has and can do, for a bug report or a first look."""

from __future__ import annotations

import os
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

from hfmm.utils.hardware import environment_info

HUB_TIMEOUT_SECONDS = 3.0


def environment_report() -> dict[str, str]:
    """Return findings by name: versions, hardware, precision and why, decoders, Hub reachability."""
    found = environment_info("auto")
    return {
        "python": f"{found['python']} on {found['system']}",
        **found["packages"],
        "hardware": found["hardware"],
        "threads": str(found["threads"]),
        "precision": f"{found['precision']}: {found['precision_reason']}",
        "image decoders": _image_decoders(),
        "audio decoder": "soundfile" if find_spec("soundfile") else "none (pip install soundfile)",
        "Hub": _hub(),
    }


def _image_decoders() -> str:
    from PIL import features

    wanted = {"jpg": "JPEG", "zlib": "PNG", "webp": "WebP", "libtiff": "TIFF", "avif": "AVIF"}
    return "Pillow: " + ", ".join(name for feature, name in wanted.items() if features.check(feature))


def _hub() -> str:
    """Say whether the Hub answers; the only network call of hfmm that no recipe asked for."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "not asked: HF_HUB_OFFLINE is set"
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_TIMEOUT_SECONDS) as answer:
            status = answer.status
    except (OSError, HTTPException) as error:
        return f"{constants.ENDPOINT} does not answer ({type(error).__name__}); the embedded recipes need no network"
    token = "logged in" if os.environ.get("HF_TOKEN") or Path(constants.HF_TOKEN_PATH).exists() else "no token"
    return f"{constants.ENDPOINT} answers ({status}), {token}"
