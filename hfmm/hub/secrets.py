"""What belongs to the machine and not to the model: tokens, the home directory, paths, the host's name."""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
from pathlib import Path

from huggingface_hub import get_token

from hfmm.errors import UserError
from hfmm.hub.files import WEIGHTS, RepoFiles, chunks

SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)  # names of variables that hold one
SHORTEST_SECRET = 8
SHORTEST_HOST = 4  # a shorter name identifies nobody, and stands in many a text by chance
HUB_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")
ABSOLUTE_PATH = re.compile(
    rb"(?<![\w/.:~-])(?:/(?:home|root|Users|mnt|media|tmp|private|var|srv|opt|scratch|data|work|workspace)/[\w.-]+"
    rb"|[A-Za-z]:\\\\?Users\\)"
)


def check_no_secrets(contents: RepoFiles, folder: Path) -> None:
    """Raise UserError where a file to publish holds something of this machine; ``folder`` is where it comes from."""
    words = _machine_secrets(folder)
    patterns = [HUB_TOKEN, ABSOLUTE_PATH]
    for name, file in contents.items():
        # A pattern would find its likes in random bytes; a long word of this machine is found in nothing else.
        texts = [] if name.endswith((WEIGHTS, ".png", ".wav", ".parquet")) else patterns
        tail = b""
        for piece in chunks(file.source):
            window = tail + piece
            for what, word in words.items():
                if word in window and re.search(rb"(?<![A-Za-z0-9])" + re.escape(word) + rb"(?![A-Za-z0-9])", window):
                    raise _refusal(name, what)
            for pattern in texts:
                if found := pattern.search(window):
                    secret = pattern is HUB_TOKEN
                    raise _refusal(name, "a Hub token" if secret else f"the path {found[0].decode(errors='replace')}")
            tail = window[-512:]


def _refusal(name: str, what: str) -> UserError:
    return UserError(
        f"{name} holds {what}, which belongs to this machine and not into a repository. Nothing was sent. Take it out "
        "(where it came from the data, a recipe that names its rows otherwise does), and publish again."
    )


def _machine_secrets(folder: Path) -> dict[str, bytes]:
    """Return what must stand nowhere, by what it is."""
    found = {f"the value of {name}": value for name, value in os.environ.items() if SECRET.search(name)}
    found["the Hub token"] = get_token() or ""
    found = {what: value for what, value in found.items() if len(value) >= SHORTEST_SECRET}
    hosts = {socket.gethostname(), socket.getfqdn(), os.environ.get("HOSTNAME", "")} - {"localhost"}
    found |= {f"the host name {host}": host for host in hosts if len(host) >= SHORTEST_HOST}
    places = {
        "the home directory": Path.home(),
        "the path of the run": folder.resolve(),
        "the working directory": Path.cwd(),
        "the path of Python": Path(sys.prefix),
        "the folder for temporary files": Path(tempfile.gettempdir()),
    }
    found |= {what: str(place) for what, place in places.items() if len(place.parts) > 2 or what.endswith("directory")}
    return {what: value.encode() for what, value in found.items() if value and value != "/"}
