"""The options of config.ini: the sections of all rooms and backends, and `get_config`, which reads them."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, get_type_hints

from .audit.options import AuditOptions
from .auth.options import AuthOptions
from .backends.abstract.options import ArchiveOptions
from .backends.hpss.options import HpssOptions
from .backends.oracle_hsm_sideband.options import HsmSidebandOptions
from .backends.posix.options import PosixOptions
from .backends.s3.options import S3Options
from .exception import ConfigurationError
from .globals import config_file
from .http.options import HttpOptions
from .limits.options import LimitOptions
from .logs.options import LogOptions
from .options import read_options
from .pages.options import PagesOptions
from .recalls.options import RecallOptions
from .servers.options import LauncherOptions
from .tape.options import TapeOptions


class Config(SimpleNamespace):
    """The options of all sections, one attribute a section; defaults for those not given."""

    archive: ArchiveOptions
    http: HttpOptions
    log: LogOptions
    launcher: LauncherOptions
    recalls: RecallOptions
    limits: LimitOptions
    tape: TapeOptions
    pages: PagesOptions
    auth: AuthOptions
    audit: AuditOptions
    posix: PosixOptions
    hpss: HpssOptions
    hsm_sideband: HsmSidebandOptions
    s3: S3Options

    def __init__(self, **sections: Any) -> None:
        """Hold *sections*, by their names; those of other packages' backends as well."""
        super().__init__(**{name: kind() for name, kind in built_in_sections().items() if name not in sections})
        vars(self).update(sections)


def built_in_sections() -> dict[str, type]:
    """Return the dataclass of each section's options, by the section's name."""
    return get_type_hints(Config)


def get_config(path: str | None = None, sections: Mapping[str, type] | None = None) -> Config:
    """Return the options in the file at *path*, defaults for those it does not set.

    *sections* are the dataclasses of further sections, by name: those of another package's backend.
    Without *path*, the file named by ARCHIVEINTERFACE_CONFIG or the one in the home directory
    is read. Raises ConfigurationError, naming file, section, key and value, when the file was
    named and is not there, is not a configuration file, or holds an unknown key or a bad value.
    """
    kinds = {**built_in_sections(), **(sections or {})}
    for name, kind in built_in_sections().items():
        if not issubclass(kinds[name], kind):
            raise ConfigurationError(f"section [{name}] is the service's, the backend's own needs another name")
    place = config_file(path)
    return Config(**read_options(place, kinds)) if place else Config(**{name: kind() for name, kind in kinds.items()})
