"""A service without tape, shared by the tests of a file: requests do not get in each other's way."""

from collections.abc import Iterator

import pytest

from tests.support.recalls import TapeClient, tape_service
from tests.support.service import POSIX_TREE


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TapeClient]:
    """A service with two files, and one that is empty."""
    home = tmp_path_factory.mktemp("tape")
    with tape_service(POSIX_TREE.make(home / "archive"), home, most_files=20) as client:
        for file_id, content in ((5, b"content"), (12345, b"content"), (0, b"")):
            assert client.service.request("PUT", f"/{file_id}", data=content).status_code == 201
        yield client
