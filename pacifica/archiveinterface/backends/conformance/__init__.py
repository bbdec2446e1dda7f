"""Tests of what every backend promises, one promise a test, for backends of other packages too.

Subclass ConformanceSuite in a test module, fill in `make_archive`, and let pytest run it::

    class TestMyBackend(ConformanceSuite):
        @pytest.fixture
        def make_archive(self, tmp_path):
            return lambda archive_options: MyBackendArchive(str(tmp_path), archive_options)

A backend with tape runs TapeSuite as well, with the four fixtures that it asks for.
"""

from .base import BLOCK, MOD_TIME, ArchiveSuite, MakeArchive, fail_while_writing, fails_with, get, put
from .files import FileSuite
from .fixity import FixitySuite
from .moves import MoveSuite
from .tape import TapeSuite

__all__ = [
    "BLOCK",
    "MOD_TIME",
    "ArchiveSuite",
    "ConformanceSuite",
    "FileSuite",
    "FixitySuite",
    "MakeArchive",
    "MoveSuite",
    "TapeSuite",
    "fail_while_writing",
    "fails_with",
    "get",
    "put",
]


class ConformanceSuite(FileSuite, MoveSuite, FixitySuite):
    """The promises that hold with tape and without."""
