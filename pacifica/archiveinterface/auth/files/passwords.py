"""Names and passwords: Basic authentication (RFC 7617) against a file of ``htpasswd -B``.

The hash of bcrypt is slow by design, so that a stolen file does not give the passwords away. A right answer is
remembered for a minute; what a client guesses costs it the wait and no more cores than the options allow.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from ...exception import ConfigurationError, UnauthenticatedError
from ...http.headers.request_head import is_loopback
from ..methods import authorization, basic_challenge
from ..permissions import Principal
from .checks import Checks
from .permissions_file import is_plain_name
from .watched import Watched

LONGEST = 72  # bytes; bcrypt reads no more

_REMEMBERED = 60.0  # seconds
_MOST_REMEMBERED = 4096
_HASH = re.compile(rb"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_OTHERS = {
    b"$apr1$": "MD5 of Apache (apr1)",
    b"{SHA}": "SHA-1",
    b"{SSHA}": "salted SHA-1",
    b"$1$": "MD5",
    b"$5$": "SHA-256 of crypt",
    b"$6$": "SHA-512 of crypt",
    b"$y$": "yescrypt",
    b"$argon2": "Argon2",
    b"$2": "an unusual version of bcrypt",
}


class PasswordFile(NamedTuple):
    """The hashes of the users by their names, and a *key* that is not known outside."""

    hashes: Mapping[str, bytes]
    key: bytes

    @classmethod
    def parse(cls, text: str) -> "PasswordFile":
        """Return what *text* says. Raises ValueError, which names line and user and shows no hash."""
        hashes: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                name, hashed = _user(number, line.strip())
                if name in hashes:
                    raise ValueError(f"line {number}: the user {name!r} has a line already")
                hashes[name] = hashed
        return cls(hashes, hashlib.sha256(text.encode()).digest())

    def hash_of(self, name: str) -> tuple[bytes, bool]:
        """Return the hash of the user *name*, and whether there is such a user.

        For another name it is one that no password has. It takes as long to check as that of some user, and always of
        the same: how long an answer takes tells nobody which names there are.
        """
        if name in self.hashes:
            return self.hashes[name], True
        known = list(self.hashes.values())
        chosen = int.from_bytes(hmac.digest(self.key, name.encode(), "sha256"), "big") % len(known)
        return known[chosen][:7] + b"." * 53, False


def _user(number: int, line: str) -> tuple[str, bytes]:
    name, colon, text = line.partition(":")
    hashed = text.partition(":")[0].encode()
    if not (colon and name and is_plain_name(name)):
        raise ValueError(f"line {number}: a line is NAME:HASH as `htpasswd -B` writes it, with no = in the name")
    if not _HASH.fullmatch(hashed):
        kind = next((kind for start, kind in _OTHERS.items() if hashed.startswith(start)), "not that of bcrypt")
        raise ValueError(f"line {number}: the hash of the user {name!r} is {kind}; only bcrypt is safe: htpasswd -B")
    return name, hashed


def hash_of_password(password: bytes, cost: int) -> str:
    """Return the hash of *password*, at most `LONGEST` bytes, for a line of the file. Raises ConfigurationError."""
    bcrypt = _bcrypt()
    hashed: bytes = bcrypt.hashpw(password, bcrypt.gensalt(cost))
    return hashed.decode()


def _bcrypt() -> ModuleType:
    try:
        return import_module("bcrypt")
    except ImportError:
        raise ConfigurationError(
            "[auth] password_file needs the package bcrypt: pip install pacifica-archiveinterface[auth]"
        ) from None


class Passwords:
    """The users of a password file."""

    def __init__(self, path: str, realm: str, at_once: int) -> None:
        """Read the file at *path*; check *at_once* passwords at a time. Raises ConfigurationError."""
        self._matches: Callable[[bytes, bytes], bool] = _bcrypt().checkpw
        self._file = Watched(path, PasswordFile.parse)
        self.challenge = basic_challenge(realm)
        self._checks = Checks(at_once)
        self._key = os.urandom(32)
        self._remembered: dict[bytes, float] = {}  # until when, on the monotonic clock

    def principal(self, environ: Mapping[str, Any]) -> Principal | None:
        """Return the user whose name and password the request in *environ* has. Raises UnauthenticatedError."""
        scheme, credentials = authorization(environ)
        if scheme != "basic":
            return None
        name, password = self._given(credentials)
        file = self._file.current()
        if not file.hashes:
            raise self._wrong()
        hashed, is_known = file.hash_of(name)
        key = hmac.digest(self._key, b"\0".join((hashed, name.encode(), password)), "sha256")
        if not self._is_remembered(key):
            client = _client(environ.get("REMOTE_ADDR", ""), name)
            is_right = self._checks.outcome(key, client, lambda: self._matches(password, hashed))
            if not (is_right and is_known):
                raise self._wrong()
            self._remember(key)
        return Principal(name, "password")

    def _given(self, credentials: str) -> tuple[str, bytes]:
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
            text = name.decode()
        except (binascii.Error, ValueError):
            raise self._wrong() from None
        if not colon or b"\0" in password or len(password) > LONGEST:
            raise self._wrong()
        return text, password

    def _wrong(self) -> UnauthenticatedError:
        return UnauthenticatedError("wrong name or password", self.challenge)

    def _is_remembered(self, key: bytes) -> bool:
        # Nobody outside knows the key of the digest, so how long the look-up takes tells nothing.
        return self._remembered.get(key, 0.0) > time.monotonic()

    def _remember(self, key: bytes) -> None:
        now = time.monotonic()
        if len(self._remembered) >= _MOST_REMEMBERED:
            # Replaced and not changed: other threads look it up meanwhile.
            self._remembered = {key: until for key, until in list(self._remembered.items())[1:] if until > now}
        self._remembered[key] = now + _REMEMBERED


def _client(address: str, name: str) -> str:
    """Return what the checks that wait are counted by: the *address*, or the *name* if a proxy here may serve many."""
    return f"user {name}" if not address or is_loopback(address) else address
