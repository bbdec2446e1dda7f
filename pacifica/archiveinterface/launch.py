"""From names, files and the environment to an archive and settings: what all ways to start the service share."""

import logging
import os
import sys

from .application import Settings, read_cherrypy_config
from .backends.abstract.archive import AbstractBackendArchive
from .backends.factory import ArchiveBackendFactory
from .config import get_config
from .exception import ArchiveInterfaceError
from .globals import CHERRYPY_CONFIG, LOG_NAME

BAD_CONFIGURATION = 2  # exit code

_log = logging.getLogger(LOG_NAME)


def make_archive(
    backend: str | None = None, prefix: str | None = None, config: str | None = None
) -> AbstractBackendArchive:
    """Return the archive of the *backend* below *prefix*, with the options in the file *config*.

    What is None comes from PAI_BACKEND_TYPE, PAI_PREFIX and ARCHIVEINTERFACE_CONFIG, or is the
    documented default. Raises ConfigurationError.
    """
    backend = backend or os.getenv("PAI_BACKEND_TYPE") or "posix"
    prefix = prefix or os.getenv("PAI_PREFIX")
    if not prefix:
        prefix = "/tmp"
        _log.warning("no prefix is given: files go to /tmp, which the system may empty")
    return ArchiveBackendFactory().get_backend_archive(backend, os.path.abspath(prefix), get_config(config))


def read_settings(path: str | None = None) -> Settings:
    """Return the CherryPy settings at *path*, in ARCHIVEINTERFACE_CPCONFIG or in the home directory.

    Empty when no file was named and there is none in the home directory. Raises ConfigurationError.
    """
    named = path or os.getenv("ARCHIVEINTERFACE_CPCONFIG")
    if not named and not os.path.exists(CHERRYPY_CONFIG):
        return {}
    return read_cherrypy_config(named or CHERRYPY_CONFIG)


def fail(program: str, error: ArchiveInterfaceError) -> int:
    """Say in one line on standard error what is wrong, and return the exit code for it."""
    print(f"{program}: {error}", file=sys.stderr)
    return BAD_CONFIGURATION
