"""What a process runs that was forked from one that has loaded the launcher."""

import ctypes
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from pacifica.archiveinterface.__main__ import main

_M_ARENA_MAX = -8  # of mallopt()


def run_main(arguments: Sequence[str], environment: Mapping[str, str], output: str, user: str | None) -> NoReturn:
    """Run the launcher in this process, as *user*; what it writes goes to the file *output*."""
    os.setsid()  # so that all that it starts can be ended with it
    os.environ.clear()
    os.environ.update(environment)
    # glibc opens a file below /proc when it first shrinks the arena of a thread, whenever that is: a call of no
    # request. The arena of the main thread is not shrunk in that way.
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(file, standard)
    if user:
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    sys.exit(main(arguments))
