"""Tape in HPSS, through the archive."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.conformance import MakeArchive, TapeSuite
from tests.backends.hpss.support import archive_on
from tests.hpss_simulator import Simulator

RECALL = 3600  # seconds of the archive's clock


class TestTape(TapeSuite):
    """On each flavour in turn."""

    @pytest.fixture
    def make_archive(self, simulator: Simulator, directory: Path) -> MakeArchive:
        """Archives with the options given, on the same files."""
        return lambda archive_options: archive_on(simulator, directory, archive=archive_options)

    @pytest.fixture
    def to_tape(self, archive: AbstractBackendArchive, simulator: Simulator) -> Callable[[str], None]:
        """Migrate and purge; the tape takes an hour to mount."""

        def send(file_id: str) -> None:
            simulator.migrate(archive.file(file_id).filepath)
            simulator.purge(archive.file(file_id).filepath)
            simulator.set("mount_seconds", RECALL)

        return send

    @pytest.fixture
    def let_recalls_finish(self, simulator: Simulator) -> Callable[[], None]:
        """Let the hour pass."""
        return lambda: simulator.advance(RECALL + 60)

    @pytest.fixture
    def break_tape(self, archive: AbstractBackendArchive, simulator: Simulator) -> Callable[[str], None]:
        """Damage the tape."""
        return lambda file_id: simulator.damage(archive.file(file_id).filepath, 1000)

    @pytest.fixture
    def count_recalls(self, simulator: Simulator) -> Callable[[], int]:
        """Ask the simulator."""
        return lambda: simulator.counters()["stages"]
