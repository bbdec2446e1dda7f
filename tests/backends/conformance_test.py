"""Every backend of this package keeps the promises of the conformance suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.conformance import ConformanceSuite, MakeArchive
from tests.support.service import BACKENDS, HPSS, Backend


@pytest.fixture(params=[*BACKENDS, *HPSS[:-1]], ids=str)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn, and each flavour of HPSS."""
    chosen: Backend = request.param
    yield chosen
    chosen.leave()


class TestConformance(ConformanceSuite):
    """On each backend in turn."""

    @pytest.fixture
    def make_archive(self, backend: Backend, prefix: Path) -> MakeArchive:
        """Archives with the options given, on the same files."""
        return lambda archive_options: backend.make(prefix, archive_options)
