"""Tape in SAM-QFS, through the archive."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.conformance import MakeArchive, TapeSuite
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from tests.samqfs_emulator.host import HsmHost


class TestTape(TapeSuite):
    """With libsam, which is asked first, and the sideband database."""

    @pytest.fixture
    def make_archive(self, host: HsmHost, libraries: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> MakeArchive:
        """Archives with the options given, on the same host."""
        monkeypatch.setenv("SAMQFS_EMULATOR", str(host.filesystem.root))
        options = host.options(stager="libsam", libsam=str(libraries[0]))
        return lambda archive_options: HsmSidebandBackendArchive(str(host.filesystem.mount), archive_options, options)

    @pytest.fixture
    def to_tape(self, archive: AbstractBackendArchive, host: HsmHost) -> Callable[[str], None]:
        """Archive and release, and let the updater know."""

        def send(file_id: str) -> None:
            path = Path(archive.file(file_id).filepath)
            host.filesystem.archive(path)
            host.filesystem.release(path)
            host.updater.run_once()

        return send

    @pytest.fixture
    def let_recalls_finish(self, host: HsmHost) -> Callable[[], None]:
        """Let the file system stage what was asked for, and the updater know."""

        def finish() -> None:
            host.filesystem.serve_requests()
            host.updater.run_once()

        return finish

    @pytest.fixture
    def break_tape(self, archive: AbstractBackendArchive, host: HsmHost) -> Callable[[str], None]:
        """Take the volume away."""

        def take_away(file_id: str) -> None:
            volume = host.filesystem.tape / "VOL001"
            volume.rename(volume.with_name("away"))

        return take_away

    @pytest.fixture
    def count_recalls(self, host: HsmHost) -> Callable[[], int]:
        """Read the log of the stubs."""
        return lambda: sum(line.startswith("queued ") for line in host.filesystem.stage_calls())
