"""Archives behind a proxy that spoils calls to the store, and what must hold whatever is spoiled."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import NamedTuple

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import Precondition
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from tests.backends.s3.support import archive_on, client_of, notes_of_nothing, objects_below, split, unfinished_uploads
from tests.support.s3_proxy import Fault, S3Proxy
from tests.support.seaweedfs import SeaweedFS

MIB = 1 << 20  # bytes
MTIME = 1_500_000_000.25
SMALL = Random(1).randbytes(102_400)
LARGE = SMALL * 110  # three parts
OLD = b"old content"
FILE = "1"
PART = 5 * MIB
PARTS_OF_MEMORY = 3


class Spot(NamedTuple):
    """A call of the upload of *content* that is spoiled: the *number*-th of its name."""

    content: bytes
    call: str
    fault: Fault
    number: int = 1


class FaultySite:
    """A place in *store* that is reached by a *proxy* at *endpoint*; *direct* is an archive that avoids it.

    The archives are made once, as are boto3's clients, and have checked the store before anything is spoiled.
    """

    def __init__(self, store: SeaweedFS) -> None:
        self._store = store
        self._client = client_of(store)
        self.prefix = f"s3://archive/{uuid.uuid4()}"
        self.proxy = S3Proxy(store.endpoint)
        self.endpoint = self.proxy.endpoint
        self.direct = archive_on(store, self.prefix)
        self.hasty = self.archive()
        self.patient = self.archive(attempts=2)
        self._sweeping = archive_on(store, self.prefix, abandoned_seconds=0)

    def archive(self, options: ArchiveOptions | None = None, **s3: object) -> S3BackendArchive:
        """Return an archive behind the proxy that tries each call once, and has memory for three parts."""
        few = {"part_size": PART, "upload_memory": PARTS_OF_MEMORY * PART, "parallel_parts": 2, "attempts": 1}
        made = archive_on(self._store, self.prefix, options, endpoint_url=self.endpoint, **{**few, **s3})
        made.require_usable()
        return made

    def write_credentials(self) -> Path:
        """Write the keys of the store as boto3 reads them, and return the path."""
        return self._store.write_credentials()

    def reset(self) -> None:
        """Remove all files and faults."""
        self.proxy.heal()
        for key in objects_below(self._store, self.prefix):
            self._client.delete_object(**split(f"{self.prefix}/{key}"))

    def check_clean(self) -> None:
        """Fail unless the next start leaves no upload, and no notes but those of what is stored."""
        self.sweep()
        self.check_nothing_is_left()

    def sweep(self) -> None:
        """Do what a start does, a day later."""
        self._sweeping.sweep()

    def check_nothing_is_left(self) -> None:
        """Fail unless there is no upload, and no notes but those of what is stored."""
        assert self.uploads() == []
        assert notes_of_nothing(self._store, self.prefix) == []

    def uploads(self) -> list[str]:
        """Return the keys of the uploads that are neither completed nor aborted."""
        return unfinished_uploads(self._store, self.prefix)

    def check_stored(self, content: bytes) -> None:
        """Fail unless the file has *content*, with what is kept with it."""
        with self.direct.file(FILE).open_reader() as reader:
            assert b"".join(iter(lambda: reader.read(MIB), b"")) == content
            status = reader.status()
        assert (status.filesize, status.mtime) == (len(content), MTIME)
        assert status.digests == {"sha-256": sha256(content).digest()}


def blocks_of(content: bytes) -> Iterator[bytes]:
    """Yield *content* as it comes from a client."""
    for begin in range(0, len(content), MIB):
        yield content[begin : begin + MIB]


def store_in(archive: S3BackendArchive, content: bytes, precondition: Precondition | None = None) -> None:
    """Store *content* with its digest as the file, through the public door."""
    digests = {"sha-256": sha256(content).digest()}
    status = archive.file(FILE).store(
        blocks_of(content), MTIME, lambda: digests, length=len(content), precondition=precondition
    )
    assert status.filesize == len(content)
    assert status.digests == digests


def check_room(archive: S3BackendArchive) -> None:
    """Fail unless as many uploads as there is memory for can have a part each."""
    with ExitStack() as writers:
        for number in range(PARTS_OF_MEMORY):
            writer = archive.file(f"9{number}").open_writer()
            writers.callback(writer.discard)
            writer.write(b"x")
