"""The servers of these tests."""

from collections.abc import Iterator

import pytest

from tests.support.processes import Server, launcher


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The launcher with an empty archive."""
    with launcher(tmp_path_factory.mktemp("archive")) as running:
        yield running
