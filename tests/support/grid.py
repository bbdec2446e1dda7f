"""The commands of davix and gfal2, which clients of grids type."""

import os
import subprocess

from tests.support.needs import need
from tests.support.service import TIMEOUT


def grid(command: str, *arguments: str, token: str = "") -> subprocess.CompletedProcess[str]:
    """Run *command* to its end, however it ends, with a bearer *token* if it is not empty."""
    need(command)
    # gfal2's Python module is the distribution's. It shows local time, and sends the token of the user it finds.
    environment = {**os.environ, "GFAL_PYTHONBIN": "/usr/bin/python3", "TZ": "UTC", "BEARER_TOKEN": token}
    if not token:
        del environment["BEARER_TOKEN"]
    return subprocess.run([command, *arguments], env=environment, capture_output=True, text=True, timeout=TIMEOUT)


def told_by(command: str, *arguments: str) -> str:
    """Run *command*, which has to succeed, and return what it prints."""
    ended = grid(command, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
