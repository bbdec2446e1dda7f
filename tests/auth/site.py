"""A site with users whom others vouch for, served from this process."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import requests

from pacifica.archiveinterface.auth.authenticator import make_authenticator
from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.auth.permissions import Permission, Principal
from pacifica.archiveinterface.options import parse_options
from tests.support.issuer import Issuer
from tests.support.service import POSIX_FLAT, Service, serving

OURS = "https://archive.example.org"
"""The audience of tokens for a site."""


@contextmanager
def running_issuer(context: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    """Run an issuer until the block is left."""
    issuer = Issuer(context)
    try:
        yield issuer
    finally:
        issuer.may_answer.set()
        issuer.stop()


class Site:
    """Its file 7 is stored; nobody may do anything for whom *permissions* have no line."""

    def __init__(self, home: Path, stack: ExitStack, permissions: str = "", **options: str) -> None:
        """Keep all files in *home*; *options* are those of [auth], and *stack* ends the service."""
        home.mkdir(exist_ok=True)
        self._home, self._stack = home, stack
        self.permissions_file = home / "permissions"
        self.permissions_file.write_text(permissions)
        texts = {"enabled": "true", "permissions_file": str(self.permissions_file), **options}
        self.options: AuthOptions = parse_options("[auth]", AuthOptions, texts)
        authenticator = make_authenticator(self.options)
        assert authenticator is not None
        self._authenticator = authenticator

    @cached_property
    def service(self) -> Service:
        """The site, when it is served."""
        prefix = self._home / "archive"
        prefix.mkdir()
        (prefix / "7").write_bytes(b"seven")
        settings = {"global": {"server.thread_pool": 12}}  # more than may wait for the keys of an issuer
        return self._stack.enter_context(serving(POSIX_FLAT.make(prefix), settings, auth=self.options))

    def principal(self, environ: Mapping[str, str]) -> Principal:
        """Return who sends a request."""
        return self._authenticator.principal(environ)

    def allows(self, token: str, permission: Permission, file_id: str | None) -> bool:
        """Return whether *token* grants *permission* for *file_id*."""
        return self.principal({"HTTP_AUTHORIZATION": f"Bearer {token}"}).may(permission, file_id)

    def read(self, token: str, scheme: str = "Bearer") -> requests.Response:
        """Ask for file 7 with *token*."""
        return self.service.request("GET", "/7", headers={"Authorization": f"{scheme} {token}"})


MakeSite = Callable[..., Site]
"""Makes a site that accepts the tokens of an issuer, given lines of the permissions, and options of its section."""
