"""Names and places that the whole package shares."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "pacifica-archiveinterface"
LOG_NAME = "pacifica.archiveinterface"
HOME = Path("~/.pacifica-archiveinterface").expanduser()

_CONFIG = ("ARCHIVEINTERFACE_CONFIG", HOME / "config.ini")
_CHERRYPY_CONFIG = ("ARCHIVEINTERFACE_CPCONFIG", HOME / "cpconfig.ini")


def python_program() -> str:
    """Return the path of the Python that runs this program; under uWSGI, sys.executable is uWSGI."""
    return str(Path(sys.exec_prefix, "bin", f"python{sys.version_info.major}"))


def config_file(given: str | None = None) -> str | None:
    """Return the path of config.ini: *given*, named by the environment, or the default one if it exists; or None."""
    return _chosen(given, *_CONFIG)


def cherrypy_config_file(given: str | None = None) -> str | None:
    """Return the path of CherryPy's file, chosen as that of config.ini."""
    return _chosen(given, *_CHERRYPY_CONFIG)


def _chosen(given: str | None, variable: str, default: Path) -> str | None:
    named = given or os.getenv(variable)
    return named or (str(default) if os.path.exists(default) else None)


# The documented paths of the two files, whether they exist or not.
CONFIG_FILE = config_file() or str(_CONFIG[1])
CHERRYPY_CONFIG = cherrypy_config_file() or str(_CHERRYPY_CONFIG[1])

try:
    VERSION = version(DISTRIBUTION)
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "unknown"
