"""Detection of what is private to this machine in files to publish: tokens, the home directory, paths, host names."""

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

SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)  # names of environment variables
SHORTEST_SECRET = 8
SHORTEST_HOST = 4  # a shorter host name identifies nobody and occurs in many texts by chance
HUB_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")
ABSOLUTE_PATH = re.compile(
    rb"(?<![\w/.:~-])(?:/(?:home|root|Users|mnt|media|tmp|private|var|srv|opt|scratch|data|work|workspace)/[\w.-]+"
    rb"|[A-Za-z]:\\\\?Users\\)"
)


def check_no_secrets(files: RepoFiles, folder: Path) -> None:
    """Raise UserError if a file to publish contains something private to this machine.

    ``folder`` is the run or dataset that the files come from.
    """
    secrets = _machine_secrets(folder)
    for name, file in files.items():
        # Patterns can match random bytes by chance. The long secrets of this machine do not.
        is_binary = name.endswith((WEIGHTS, ".png", ".wav", ".parquet"))
        patterns = [] if is_binary else [HUB_TOKEN, ABSOLUTE_PATH]
        tail = b""
        for chunk in chunks(file.source):
            window = tail + chunk
            for kind, secret in secrets.items():
                pattern = rb"(?<![A-Za-z0-9])" + re.escape(secret) + rb"(?![A-Za-z0-9])"
                if secret in window and re.search(pattern, window):
                    raise _secret_error(name, kind)
            for regex in patterns:
                if match := regex.search(window):
                    path = match[0].decode(errors="replace")
                    raise _secret_error(name, "a Hub token" if regex is HUB_TOKEN else f"the path {path}")
            tail = window[-512:]


def _secret_error(name: str, kind: str) -> UserError:
    return UserError(
        f"{name} contains {kind}, which is private to this machine. Nothing was sent. Remove it and publish again. If "
        "it comes from the data, change how the recipe names the rows."
    )


def _machine_secrets(folder: Path) -> dict[str, bytes]:
    """Return the strings that must not be published, by their description."""
    secrets = {f"the value of {name}": value for name, value in os.environ.items() if SECRET.search(name)}
    secrets["the Hub token"] = get_token() or ""
    secrets = {kind: value for kind, value in secrets.items() if len(value) >= SHORTEST_SECRET}
    hosts = {socket.gethostname(), socket.getfqdn(), os.environ.get("HOSTNAME", "")} - {"localhost"}
    secrets |= {f"the host name {host}": host for host in hosts if len(host) >= SHORTEST_HOST}
    paths = {
        "the home directory": Path.home(),
        "the path of the run": folder.resolve(),
        "the working directory": Path.cwd(),
        "the path of Python": Path(sys.prefix),
        "the folder for temporary files": Path(tempfile.gettempdir()),
    }
    secrets |= {kind: str(path) for kind, path in paths.items() if len(path.parts) > 2 or kind.endswith("directory")}
    return {kind: value.encode() for kind, value in secrets.items() if value and value != "/"}
