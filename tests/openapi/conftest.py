"""The servers of these tests."""

from collections.abc import Iterator

import pytest

from tests.auth.hostile_site import Site, hostile_site
from tests.support.forked import forked_launcher
from tests.support.processes import Server


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The launcher with an empty archive."""
    with forked_launcher(tmp_path_factory.mktemp("archive")) as running:
        yield running


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The launcher with users, and all pages for them only."""
    pages = ("[pages]", "metrics = users", "recalls = users")
    with hostile_site(tmp_path_factory.mktemp("guarded"), "launcher", *pages) as site:
        yield site
