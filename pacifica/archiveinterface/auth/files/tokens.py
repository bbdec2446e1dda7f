"""Static Bearer tokens of the site's own, for programs.

A token is ``pai_ID_SECRET``. The file has its SHA-256: the secret is 256 random bits, which nobody can guess however
fast the hash is. The slow hashes that passwords need would only cost time.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from ...exception import UnauthenticatedError
from ..methods import authorization, bearer_challenge
from ..permissions import Principal
from .permissions_file import is_plain_name
from .watched import Watched

PREFIX = "pai_"

_TOKEN = re.compile(r"pai_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_LINE = re.compile(r"([0-9a-f]{12}) ([0-9a-f]{64}) (\S+) (\S.*)")
_FORM = "a line is ID SHA-256 EXPIRY NAME, as `pacifica-archiveinterface-cmd token create` writes it"
_NEVER = "never"


class Token(NamedTuple):
    """What is kept of a token; *expires* is in epoch seconds, None for never."""

    id: str
    digest: str
    expires: float | None
    name: str

    @property
    def has_expired(self) -> bool:
        """Whether it is not accepted any more."""
        return self.expires is not None and self.expires <= time.time()

    @property
    def expiry(self) -> str:
        """When it expires, in UTC as RFC 3339 has it, or ``never``."""
        if self.expires is None:
            return _NEVER
        return datetime.fromtimestamp(self.expires, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def line(self) -> str:
        """Return its line in the file."""
        return f"{self.id} {self.digest} {self.expiry} {self.name}"


def new_token(name: str, expires: float | None) -> tuple[Token, str]:
    """Return a new token of the principal *name*, and the text that its client sends, which is kept nowhere."""
    token_id = secrets.token_hex(6)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    text = f"{PREFIX}{token_id}_{secret}"
    return Token(token_id, _digest(text), expires, name), text


def parse_tokens(text: str) -> dict[str, Token]:
    """Return the tokens in the *text* of a file, by their ids. Raises ValueError, which names the line."""
    tokens: dict[str, Token] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            token = _parse(number, line.strip())
            if token.id in tokens:
                raise ValueError(f"line {number}: the token {token.id} has a line already")
            tokens[token.id] = token
    return tokens


def _parse(number: int, line: str) -> Token:
    match = _LINE.fullmatch(line)
    if not match or not is_plain_name(match[4]):
        raise ValueError(f"line {number}: {_FORM}")
    token_id, digest, expiry, name = match.groups()
    try:
        expires = None if expiry == _NEVER else moment_of(expiry)
    except ValueError:
        raise ValueError(f"line {number}: {expiry} is not a time such as 2030-01-31T12:00:00Z, or never") from None
    return Token(token_id, digest, expires, name)


def moment_of(text: str) -> float:
    """Return the moment *text*, in UTC as RFC 3339 has it, in epoch seconds. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Tokens:
    """The tokens of a file."""

    def __init__(self, path: str, realm: str) -> None:
        """Read the file at *path*. Raises ConfigurationError."""
        self._file = Watched(path, parse_tokens)
        self.challenge = bearer_challenge(realm)
        self._invalid = bearer_challenge(realm, "invalid_token")

    def principal(self, environ: Mapping[str, Any]) -> Principal | None:
        """Return the principal whose token the request in *environ* has. Raises UnauthenticatedError."""
        scheme, text = authorization(environ)
        if scheme != "bearer" or not text.startswith(PREFIX):
            return None
        match = _TOKEN.fullmatch(text)
        token = self._file.current().get(match[1]) if match else None
        if not token or not hmac.compare_digest(_digest(text), token.digest):
            raise UnauthenticatedError("the token is not known, or was revoked", self._invalid)
        if token.has_expired:
            raise UnauthenticatedError(f"the token {token.id} has expired", self._invalid)
        return Principal(token.name, "token")
