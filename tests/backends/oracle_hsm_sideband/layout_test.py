"""Files on a SAM-QFS mount under plain ids, as the backend posix stores them, renamed into the tree."""

from pathlib import Path

import pytest

from pacifica.archiveinterface.__main__ import cmd
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.commands.layout import require_layout
from pacifica.archiveinterface.exception import ConfigurationError
from tests.samqfs_emulator.host import HsmHost

CONTENT = b"read by nobody" * 1000
DIGESTS = {"sha-256": bytes(32)}


@pytest.fixture
def archive(host: HsmHost) -> HsmSidebandBackendArchive:
    """An archive with the file 12345, which has a digest, is on tape only and has its id for a name."""
    archive = HsmSidebandBackendArchive(str(host.filesystem.mount), options=host.options(residency="blocks"))
    archive.file("12345").store([CONTENT], 1473806059, lambda: DIGESTS)
    stored, flat = Path(archive.file("12345").filepath), host.filesystem.mount / "12345"
    stored.rename(flat)
    host.filesystem.archive(flat)
    assert host.filesystem.release(flat)
    return archive


def test_a_file_on_tape_is_renamed_and_not_recalled(
    archive: HsmSidebandBackendArchive, host: HsmHost, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match="convert --to tree"):
        require_layout(archive)
    command = ["-t", "hsmsideband", "--prefix", archive.prefix]
    assert cmd([*command, "convert", "--to", "flat"]) == 2
    assert cmd([*command, "convert", "--to", "tree"]) == 0
    assert capfd.readouterr().out == "1 files converted to tree\n"
    require_layout(archive)
    status = archive.file("12345").status()
    assert (status.filesize, status.digests, status.file_storage_media) == (len(CONTENT), DIGESTS, "tape")
    assert host.filesystem.requests() == []


def test_the_backend_posix_does_not_serve_the_tree_as_flat(archive: HsmSidebandBackendArchive) -> None:
    assert cmd(["-t", "hsmsideband", "--prefix", archive.prefix, "convert", "--to", "tree"]) == 0
    with pytest.raises(ConfigurationError, match="the archive has the layout tree"):
        require_layout(PosixBackendArchive(archive.prefix))
