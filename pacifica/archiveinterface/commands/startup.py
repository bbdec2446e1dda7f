"""What all ways to start share: from options, files and the environment to an archive and settings."""

import argparse
import logging
import os
import sys
from typing import Any, NamedTuple

from ..audit.log import AuditLog
from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.file import ArchiveFile
from ..backends.factory import ArchiveBackendFactory
from ..backends.measuring import measured
from ..config import Config, get_config
from ..exception import ArchiveInterfaceError
from ..globals import LOG_NAME, VERSION, cherrypy_config_file
from ..limits.counted import CountedFile
from ..limits.service import LimitService, limits_of
from ..pages.metrics import counts_can_be_read
from ..recalls.service import RecallService
from ..recalls.store import Store
from ..web.settings import Settings, read_cherrypy_config
from .layout import require_layout

BAD_CONFIGURATION = 2  # exit code
INTERRUPTED = 130  # exit code, as shells give it for SIGINT

_log = logging.getLogger(LOG_NAME)


def common_options(default: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all commands have; one that is not given has the value *default*."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=default)
    names = ", ".join(ArchiveBackendFactory.names())
    parser.add_argument(
        "-t", "--type", "--backend", metavar="BACKEND", help=f"backend: {names} (default PAI_BACKEND_TYPE or posix)"
    )
    parser.add_argument("--prefix", metavar="DIRECTORY", help="where the files are (default PAI_PREFIX or /tmp)")
    parser.add_argument("-c", "--config", metavar="FILE", help="the archive's configuration, config.ini")
    parser.add_argument("--version", action="version", version=VERSION)
    return parser


class Site(NamedTuple):
    """An archive, the service that has its files recalled, its limits and its audit log, None for none."""

    archive: AbstractBackendArchive
    recalls: RecallService
    limits: LimitService | None = None
    audit: AuditLog | None = None

    def changed(self, file_id: str) -> ArchiveFile | CountedFile:
        """Return the file *file_id* for a change by the administrator. Raises FileIdError."""
        if self.limits and self.limits.has_quotas:
            return self.limits.file(file_id, "")
        return self.archive.file(file_id)

    def prepare(self) -> None:
        """Check that files can be stored, and remove what processes that died left; not when the archive is read-only.

        Raises ConfigurationError.
        """
        if self.audit:
            self.audit.require_usable()
        if not self.archive.archive_options.read_only:
            self.archive.require_usable()
        self.sweep()

    def require_layout(self) -> None:
        """Check that the files have the layout of the options, and keep conversions off as long as the archive lives.

        Raises ConfigurationError.
        """
        require_layout(self.archive)

    def sweep(self) -> None:
        """Remove what processes that died left half-written, unless the archive is read-only."""
        if not self.archive.archive_options.read_only:
            self.archive.sweep()


class Choice(NamedTuple):
    """A kind of backend, where its files are, and the options of the service."""

    backend: str
    kind: type[AbstractBackendArchive]
    prefix: str
    config: Config

    def archive(self) -> AbstractBackendArchive:
        """Return a new archive. Raises ConfigurationError."""
        kind = measured(self.kind) if counts_can_be_read(self.config.pages) else self.kind
        return kind(self.prefix, self.config.archive, self._own_options())

    def _own_options(self) -> Any:
        return getattr(self.config, self.kind.section) if self.kind.options_type else None

    def summary(self) -> str:
        """Return, for the log, how files are kept."""
        options = self.config.archive
        facts = [
            f"backend {self.backend}",
            f"layout {self.kind.layout_in(self._own_options())}",
            f"durability {options.durability}",
            f"digests {' '.join(options.digests) or 'none'}",
            f"overwrite {options.overwrite}",
            f"delete {options.delete}",
        ]
        return ", ".join([*facts, "read-only"] if options.read_only else facts)

    def site(self) -> Site:
        """Return a new archive with its recalls, its limits and its audit log. Raises ConfigurationError."""
        archive, options = self.archive(), self.config.recalls
        name = f"{self.backend}:{self.prefix}"
        recalls = RecallService(archive, Store(name, options), options)
        audit = AuditLog(self.config.audit) if self.config.audit.directory else None
        return Site(archive, recalls, limits_of(archive, name, self.config.limits), audit)


def choose(backend: str | None = None, prefix: str | None = None, config_file: str | None = None) -> Choice:
    """Return the *backend*, its *prefix*, and the options in the file *config_file*.

    What is None comes from PAI_BACKEND_TYPE, PAI_PREFIX and ARCHIVEINTERFACE_CONFIG, or is the
    documented default. Raises ConfigurationError.
    """
    name, kind = _kind(backend)
    config = _config(kind, config_file)
    configured = kind.prefix_in(getattr(config, kind.section)) if kind.options_type else ""
    return Choice(name, kind, _prefix(prefix, configured), config)


def read_config(backend: str | None = None, config_file: str | None = None) -> Config:
    """Return the options of the service, as `choose` does; no prefix is needed for them. Raises ConfigurationError."""
    return _config(_kind(backend)[1], config_file)


def _kind(backend: str | None) -> tuple[str, type[AbstractBackendArchive]]:
    name = (backend or os.getenv("PAI_BACKEND_TYPE") or "posix").lower()
    return name, ArchiveBackendFactory().load_backend_archive(name)


def _config(kind: type[AbstractBackendArchive], config_file: str | None) -> Config:
    return get_config(config_file, {kind.section: kind.options_type} if kind.options_type else {})


def _prefix(given: str | None, configured: str) -> str:
    prefix = given or os.getenv("PAI_PREFIX") or configured
    if not prefix:
        prefix = "/tmp"
        _log.warning("no prefix is given: files go to /tmp, which the system may empty")
    # A URL is the backend's to judge.
    return prefix if "://" in prefix else os.path.abspath(prefix)


def read_settings(path: str | None = None) -> Settings:
    """Return the CherryPy settings at *path*, in ARCHIVEINTERFACE_CPCONFIG or in the home directory.

    Empty when no file was named and there is none in the home directory. Raises ConfigurationError.
    """
    place = cherrypy_config_file(path)
    return read_cherrypy_config(place) if place else {}


def fail(program: str, error: ArchiveInterfaceError) -> int:
    """Say in one line on standard error what is wrong, and return the exit code for it."""
    print(f"{program}: {error}", file=sys.stderr)
    return BAD_CONFIGURATION
