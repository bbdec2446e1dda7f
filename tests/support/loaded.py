"""What a process runs that was forked from one that has loaded the launcher."""

import ctypes
import os
import pwd
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pacifica.archiveinterface import globals as places
from pacifica.archiveinterface.__main__ import cmd, main

_M_ARENA_MAX = -8  # of mallopt()


def run_main(arguments: Sequence[str], environment: Mapping[str, str], output: str, user: str | None) -> NoReturn:
    """Run the launcher in this process, as *user*; what it writes goes to the file *output*."""
    os.setsid()  # so that all that it starts can be ended with it
    _take_over(environment, output, output)
    # glibc opens a file below /proc when it first shrinks the arena of a thread, whenever that is: a call of no
    # request. The arena of the main thread is not shrunk in that way.
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    if user:
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    sys.exit(main(arguments))


def run_cmd(
    arguments: Sequence[str], environment: Mapping[str, str], directory: str, read: str, output: str, errors: str
) -> NoReturn:
    """Run the administrator's tool in this process and *directory*, with files in the place of standard streams."""
    _take_over(environment, output, errors)
    os.chdir(directory)
    places.HOME = Path(environment["HOME"], places.HOME.name)
    encoding, _, handler = environment.get("PYTHONIOENCODING", "utf-8:strict").partition(":")
    os.dup2(os.open(read, os.O_RDONLY), 0)
    sys.stdin = os.fdopen(0, encoding=encoding, errors=handler)
    # New ones: those at hand know of their files that they can be sought in, which a pipe cannot.
    sys.stdout = os.fdopen(1, "w", encoding=encoding, errors=handler)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding=encoding, errors="backslashreplace")
    sys.exit(cmd(arguments))


def _take_over(environment: Mapping[str, str], output: str, errors: str) -> None:
    """Take the environment, and write to the files *output* and *errors*."""
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    tempfile.tempdir = None  # what TMPDIR was before
    for standard, name in ((1, output), (2, errors)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), standard)
