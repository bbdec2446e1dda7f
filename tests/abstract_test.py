"""What all backends inherit."""

from pathlib import Path

from pacifica.archiveinterface.backends.conformance import put
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive


class ArrivingArchive(PosixBackendArchive):
    """Its files are on tape when they are looked at first, and on disk when their recall is asked for."""

    def is_online(self) -> bool:
        """Return False: the file is still on tape."""
        return False


def test_a_file_that_arrives_while_its_recall_is_asked_for_is_read(tmp_path: Path) -> None:
    archive = ArrivingArchive(str(tmp_path))
    put(archive, "7", b"arrived")
    with archive.open("7", "r") as file:
        assert file.read(100) == b"arrived"
