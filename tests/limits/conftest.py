"""Fixtures: a database of each kind."""

from pathlib import Path

import pytest

from tests.support.databases import NEW_URL

on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For tests of what is the same with each kind of database."""


@pytest.fixture(params=NEW_URL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database, of each kind."""
    return NEW_URL[request.param](tmp_path)
