"""The commands ``user`` and ``token``: they change the files of users and tokens, which running services read again."""

import argparse
import getpass
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from ..audit.log import AuditLog
from ..auth.files.editing import edited
from ..auth.files.passwords import LONGEST, PasswordFile, hash_of_password
from ..auth.files.permissions_file import is_plain_name
from ..auth.files.tokens import new_token, parse_tokens
from ..auth.options import AuthOptions
from ..exception import ConfigurationError
from ..printing import printable
from .auditing import Telling, audited
from .startup import read_config

_COST = 12  # of a hash: about a quarter of a second
_DAY = 86400.0  # seconds
_USUAL_DAYS = 365

T = TypeVar("T")
Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
"""Adds a command: its name, its action, and what it does."""


def add_user_commands(add: Add) -> None:
    """Add the commands below ``user``."""
    parser = add("add", _add_user, "add a user, or change the password; it is asked for, or read from standard input")
    parser.add_argument("name", type=_name, metavar="NAME")
    parser.add_argument("--cost", type=_cost, default=_COST, help=f"cost of the hash, 4 to 31 (default {_COST})")
    parser = add("remove", _remove_user, "remove a user")
    parser.add_argument("name", metavar="NAME")
    add("list", _list_users, "print the names of the users")


def add_token_commands(add: Add) -> None:
    """Add the commands below ``token``."""
    parser = add("create", _create_token, "create a token and print it; it can be printed only now")
    parser.add_argument("name", type=_name, metavar="NAME", help="the principal whose token it is")
    parser.add_argument(
        "--days",
        type=_days,
        default=_USUAL_DAYS,
        metavar="N",
        help=f"days until it expires (default {_USUAL_DAYS}); 0: never",
    )
    parser = add("revoke", _revoke_token, "remove a token")
    parser.add_argument("id", metavar="ID", help="its id, as the command list prints it")
    add("list", _list_tokens, "print ids, times of expiry and names of the tokens")


def _name(text: str) -> str:
    if not text or not is_plain_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name: without : and =, and without blanks at its ends")
    return text


def _cost(text: str) -> int:
    if text.isascii() and text.isdecimal() and 4 <= int(text) <= 31:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 4 to 31")


def _days(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) <= 36500:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, at most 36500")


def _options(given: argparse.Namespace) -> AuthOptions:
    return read_config(given.type, given.config).auth


def _password_file(given: argparse.Namespace) -> str:
    path = _options(given).password_file
    if not path:
        raise ConfigurationError("[auth] password_file names no file for the users")
    return path


def _token_file(given: argparse.Namespace) -> str:
    path = _options(given).token_file
    if not path:
        raise ConfigurationError("[auth] token_file names no file for the tokens")
    return path


def _add_user(given: argparse.Namespace) -> int:
    path = _password_file(given)
    hashed = hash_of_password(_password(given.name), given.cost)
    with _audited(given, "user add"), edited(path) as lines:
        kept = _without(lines, given.name)
        verb = "added" if len(kept) == len(lines) else "changed"
        lines[:] = [*kept, f"{given.name}:{hashed}"]
        _check(path, PasswordFile.parse, lines)
    print(printable(f"{given.name}: {verb}"), file=sys.stderr)
    return 0


def _remove_user(given: argparse.Namespace) -> int:
    with _audited(given, "user remove"), edited(_password_file(given)) as lines:
        kept = _without(lines, given.name)
        is_known = len(kept) < len(lines)
        lines[:] = kept
    return 0 if is_known else _unknown("user", given.name)


def _list_users(given: argparse.Namespace) -> int:
    path = _password_file(given)
    with edited(path) as lines:
        for name in sorted(_check(path, PasswordFile.parse, lines).hashes):
            print(printable(name))
    return 0


def _create_token(given: argparse.Namespace) -> int:
    path = _token_file(given)
    token, text = new_token(given.name, time.time() + given.days * _DAY if given.days else None)
    with _audited(given, "token create", token=token.id), edited(path) as lines:
        lines.append(token.line())
        _check(path, parse_tokens, lines)
    print(printable(f"token {token.id} of {given.name}, expires: {token.expiry}"), file=sys.stderr)
    print(text)
    return 0


def _revoke_token(given: argparse.Namespace) -> int:
    with _audited(given, "token revoke", token=given.id), edited(_token_file(given)) as lines:
        kept = [line for line in lines if line.partition(" ")[0] != given.id]
        is_known = len(kept) < len(lines)
        lines[:] = kept
    return 0 if is_known else _unknown("token", given.id)


def _list_tokens(given: argparse.Namespace) -> int:
    path = _token_file(given)
    with edited(path) as lines:
        for token in _check(path, parse_tokens, lines).values():
            print(
                printable(f"{token.id}  {token.expiry:<20}  {token.name}{'  (expired)' if token.has_expired else ''}")
            )
    return 0


def _audited(given: argparse.Namespace, action: str, **facts: str) -> AbstractContextManager[Telling]:
    """Have what is done in the block in the audit log, if there is one."""
    options = read_config(given.type, given.config).audit
    log = AuditLog(options) if options.directory else None
    return audited(log, f"admin {action}", name=vars(given).get("name", ""), **facts)


def _without(lines: list[str], name: str) -> list[str]:
    return [line for line in lines if line.partition(":")[0].strip() != name]


def _check(path: str, parse: Callable[[str], T], lines: list[str]) -> T:
    """Return what *parse* makes of the *lines* of the file at *path*. Raises ConfigurationError."""
    try:
        return parse("\n".join(lines))
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _unknown(kind: str, name: str) -> int:
    print(printable(f"there is no {kind} {name}"), file=sys.stderr)
    return 1


def _password(name: str) -> bytes:
    if sys.stdin.isatty():
        text = getpass.getpass(f"Password of {name}: ")
        if getpass.getpass("Once more: ") != text:
            raise ConfigurationError("the two passwords differ")
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    password = text.encode(errors="surrogateescape")
    if not 0 < len(password) <= LONGEST or b"\0" in password:
        raise ConfigurationError(f"a password has 1 to {LONGEST} bytes")
    return password
