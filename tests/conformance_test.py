"""Every backend of this package keeps the promises of the conformance suite."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.conformance import ConformanceSuite, MakeArchive

from .support import Backend


class TestConformance(ConformanceSuite):
    """On each backend in turn."""

    @pytest.fixture
    def make_archive(self, backend: Backend, prefix: Path) -> MakeArchive:
        """Archives with the options given, on the same files."""
        return lambda config: backend.make(prefix, {"archive": config.archive})

    @pytest.fixture
    def place(self, archive: AbstractBackendArchive, backend: Backend, prefix: Path) -> Callable[[str, bytes], str]:
        """As the backend does it."""
        return partial(backend.place, prefix)

    @pytest.fixture
    def holds(self, backend: Backend, prefix: Path) -> Callable[[str], bool]:
        """As the backend does it."""
        return partial(backend.holds, prefix)
