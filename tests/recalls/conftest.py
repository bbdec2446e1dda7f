"""Fixtures: a recall service on a tape and on a database of each kind, with clocks that the test sets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.databases import NEW_URL
from tests.support.recall_site import Clock, Site
from tests.support.tape import Tape

on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For tests of what is the same with each kind of database."""

Open = Callable[..., Site]


@pytest.fixture(params=NEW_URL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database, of each kind."""
    return NEW_URL[request.param](tmp_path)


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    """A library without tapes."""
    return Tape(tmp_path / "tape.sqlite3")


@pytest.fixture
def open_site(url: str, tape: Tape, clock: Clock) -> Open:
    """Return what makes a service with the options given as keywords."""
    return lambda **options: Site(url, tape, clock, **options)


@pytest.fixture
def site(open_site: Open) -> Site:
    """A service with options for tests."""
    return open_site()
