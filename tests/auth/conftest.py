"""Sites whose users come with tokens of an issuer."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.auth.site import OURS, MakeSite, Site, running_issuer
from tests.support.issuer import Issuer


@contextmanager
def _making_sites(factory: pytest.TempPathFactory) -> Iterator[MakeSite]:
    with ExitStack() as stack:

        def make(issuer: Issuer, users: str = "", **options: str) -> Site:
            given = {"audience": OURS, "permissions": "read", "claims": "sub alice: read", **options}
            lines = "".join(f"{name} = {value}\n" for name, value in given.items())
            home = factory.mktemp("site")
            (home / "issuers.ini").write_text(f"[{issuer.url}]\n{lines}")
            return Site(home, stack, users, issuers_file=str(home / "issuers.ini"))

        yield make


@pytest.fixture
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSite]:
    """Makes sites that accept the tokens of an issuer, with options of its section."""
    with _making_sites(tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="module")
def lasting_sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSite]:
    """Makes sites that all tests of a module share."""
    with _making_sites(tmp_path_factory) as make:
        yield make


@pytest.fixture
def own_issuer() -> Iterator[Issuer]:
    """An issuer that a test may stop, slow or give new keys."""
    with running_issuer() as issuer:
        yield issuer
