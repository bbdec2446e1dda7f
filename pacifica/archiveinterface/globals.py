"""Names and places that the whole package shares."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "pacifica-archiveinterface"
LOG_NAME = "pacifica.archiveinterface"
HOME = Path("~/.pacifica-archiveinterface").expanduser()

# The documented paths of the two configuration files: config.ini, and CherryPy's own.
CONFIG_FILE = os.getenv("ARCHIVEINTERFACE_CONFIG", str(HOME / "config.ini"))
CHERRYPY_CONFIG = os.getenv("ARCHIVEINTERFACE_CPCONFIG", str(HOME / "cpconfig.ini"))

try:
    VERSION = version(DISTRIBUTION)
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "unknown"
