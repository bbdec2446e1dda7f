"""The user who runs a command, for the log of changes."""

import os
import pwd
from contextlib import suppress
from pathlib import Path

from ..http.changes import Author

_LOGIN = Path("/proc/self/loginuid")  # which sudo and su leave as it is
_NO_LOGIN = (1 << 32) - 1


def local_author() -> Author:
    """Return the user who has logged in, also behind sudo or su; without a login, the one of the process."""
    return Author("", _name_of(_user_id()))


def _user_id() -> int:
    with suppress(OSError, ValueError):
        login = int(_LOGIN.read_text())
        if login != _NO_LOGIN:
            return login
    return os.getuid()


def _name_of(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)
