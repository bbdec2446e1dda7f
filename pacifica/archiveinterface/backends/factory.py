"""Backends by name: the built-in ones, and those that other packages bring."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from ..exception import ConfigurationError
from .abstract.archive import AbstractBackendArchive
from .abstract.options import ArchiveOptions

ENTRY_POINTS = "pacifica.archiveinterface.backends"

# Imported when asked for, not before: a site without HPSS has no library to load.
_BUILT_IN = {
    "hpss": (".hpss.archive", "HpssBackendArchive"),
    "hsmsideband": (".oracle_hsm_sideband.archive", "HsmSidebandBackendArchive"),
    "posix": (".posix.archive", "PosixBackendArchive"),
    "s3": (".s3.archive", "S3BackendArchive"),
}


class ArchiveBackendFactory:
    """Finds backends by their names, in any case."""

    @staticmethod
    def names() -> list[str]:
        """Return the names of all backends, built in or of other packages."""
        return sorted({*_BUILT_IN, *entry_points(group=ENTRY_POINTS).names})

    def load_backend_archive(self, name: str) -> type[AbstractBackendArchive]:
        """Return the class of the backend *name*. Raises ConfigurationError when there is none."""
        key = name.lower()
        if key in _BUILT_IN:
            backend = _built_in(key)
        else:
            found = entry_points(group=ENTRY_POINTS, name=key)
            if not found:
                raise ConfigurationError(f"unknown backend {name!r}; known are {', '.join(self.names())}")
            backend = next(iter(found)).load()
        if not (isinstance(backend, type) and issubclass(backend, AbstractBackendArchive)):
            raise ConfigurationError(f"backend {name!r} is not a subclass of AbstractBackendArchive")
        return backend

    def get_backend_archive(
        self, name: str, prefix: str, archive_options: ArchiveOptions | None = None, options: Any = None
    ) -> AbstractBackendArchive:
        """Return the archive of the backend *name* for the files below *prefix*. Raises ConfigurationError.

        *options* are those of the backend's own section; without options, the defaults hold.
        """
        return self.load_backend_archive(name)(prefix, archive_options, options)


def _built_in(name: str) -> Any:
    module, attribute = _BUILT_IN[name]
    try:
        return getattr(import_module(module, __package__), attribute)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"backend {name!r} needs the package {error.name}: pip install 'pacifica-archiveinterface[{name}]'"
        ) from error
