"""What the suites share: their fixtures, and the ways to put, to get and to fail."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ...exception import ArchiveInterfaceError
from ..abstract.archive import AbstractBackendArchive
from ..abstract.options import ArchiveOptions
from ..abstract.status import AbstractStatus

MakeArchive = Callable[[ArchiveOptions], AbstractBackendArchive]

MOD_TIME = 1473806059.0  # whole seconds: not every storage system counts finer
BLOCK = 1 << 16  # bytes
# Words for a client, in lower case unless the first is a name.
_MESSAGE = re.compile(r"([a-z]\S*|[A-Z][a-z]+(-[A-Z][A-Za-z0-9]*)*:?) .*[a-z].*[^.\s]", re.DOTALL)


def put(archive: AbstractBackendArchive, file_id: str, content: bytes, mod_time: float = MOD_TIME) -> AbstractStatus:
    """Store *content* the way the REST interface does and return its status."""
    blocks = (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
    return archive.file(file_id).store(blocks, mod_time, length=len(content))


def get(archive: AbstractBackendArchive, file_id: str) -> bytes:
    """Return the whole content of the file."""
    content = bytearray()
    with archive.open(file_id, "r") as file:
        while block := file.read(BLOCK):
            content += block
    return bytes(content)


def fail_while_writing(archive: AbstractBackendArchive, file_id: str) -> None:
    """Leave an upload by an error, as a client that goes away does."""
    with suppress(ZeroDivisionError), archive.open(file_id, "w") as file:
        file.write(b"half")
        raise ZeroDivisionError


@contextmanager
def fails_with(kind: type[ArchiveInterfaceError]) -> Iterator[None]:
    """Expect the block to raise *kind*, with a message that a client can read."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert _MESSAGE.fullmatch(message), message


class ArchiveSuite:
    """The fixtures of all suites; `archive` is an empty archive with default options."""

    @pytest.fixture
    def make_archive(self) -> MakeArchive:
        """Return what makes an archive with the options given; all that a test makes share their files."""
        raise NotImplementedError("fill in make_archive")

    @pytest.fixture
    def archive(self, make_archive: MakeArchive) -> AbstractBackendArchive:
        """Return an empty archive."""
        return make_archive(ArchiveOptions())

    @pytest.fixture
    def place(self, archive: AbstractBackendArchive) -> Callable[[str, bytes], str]:
        """Return what puts a file beside the archived ones, below the prefix, and returns its absolute path."""

        def place_file(name: str, content: bytes) -> str:
            path = Path(archive.prefix, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return str(path)

        return place_file

    @pytest.fixture
    def holds(self) -> Callable[[str], bool]:
        """Return what tells whether there is a file at an absolute path on the backend."""
        return os.path.isfile
