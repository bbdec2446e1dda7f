"""The CherryPy application: the built-in settings, the site's own, and what no site may change."""

import logging
import sys
from typing import Any

import cherrypy
from cherrypy.lib.reprconf import Parser

from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import ConfigurationError
from ..globals import LOG_NAME
from ..http.options import HttpOptions
from ..http.sendfile import require_local_files
from ..options import read_sections
from ..printing import printable
from ..rest_generator import ArchiveInterfaceGenerator
from .request import ArchiveApplication

Settings = dict[str, dict[str, Any]]

# What a site may override in its CherryPy file (server.conf).
BUILT_IN: dict[str, Any] = {
    "server.socket_host": "127.0.0.1",
    "server.socket_port": 8080,
    "server.socket_timeout": 60,  # seconds without a byte
    "server.socket_queue_size": 1024,
    "server.thread_pool": 100,  # more than the clients that may stall at a time
    "server.max_request_header_size": 65536,  # bytes of request line and headers together
    "server.max_request_body_size": 0,
    "log.screen": False,
    "tools.log_tracebacks.on": False,  # error_response logs what is worth it
    "tools.log_headers.on": False,
    "tools.trailing_slash.on": False,
}

_KNOWN_ROOTS = frozenset(("environment", "error_page", "hooks", "request", "response", "tools", "wsgi"))
_UNUSED_ROOTS = frozenset(("checker", "engine"))  # parts of CherryPy that do not run here
_SECTIONS = ("global", "/")
_LONGEST_MESSAGE = 2000  # characters of a line in the log


def make_application(
    archive: AbstractBackendArchive, settings: Settings | None = None, options: HttpOptions | None = None
) -> cherrypy.Application:
    """Return the WSGI application that serves *archive*, with *settings* of CherryPy and *options* of [http].

    CherryPy's configuration is one for the process: the last application made has set it.
    Raises ConfigurationError for an option that this archive cannot keep.
    """
    options = options or HttpOptions()
    require_local_files(archive, options.sendfile)
    settings = settings or {}
    overall = {**BUILT_IN, **settings.get("global", {})}
    most_bytes = overall.pop("server.max_request_body_size")
    application = ArchiveApplication(ArchiveInterfaceGenerator(archive, options), options, most_bytes)
    try:
        # Our reader of bodies keeps to the limit and answers in JSON; the server would in plain text.
        cherrypy.config.update({**overall, "server.max_request_body_size": 0})
        application.merge({section: dict(keys) for section, keys in settings.items() if section != "global"})
    except OSError as error:  # log.access_file and log.error_file are opened here
        raise ConfigurationError(f"{error.filename} cannot be written: {(error.strerror or '').lower()}") from error
    return application


def read_cherrypy_config(path: str) -> Settings:
    """Return the sections of the CherryPy file at *path*.

    Raises ConfigurationError, naming file, section and key, when something in it is wrong.
    """
    settings: Settings = {
        section: {key: _value(f"{path}: [{section}] {key}", key, text) for key, text in keys.items()}
        for section, keys in read_sections(path, Parser()).items()
    }
    for section, keys in settings.items():
        if section not in _SECTIONS:
            raise ConfigurationError(
                f"{path}: [{section}]: the service is one resource, its sections are [global] and [/]"
            )
        for key, value in keys.items():
            _check(f"{path}: [{section}] {key}", key, value)
    return settings


def _value(place: str, key: str, text: str) -> Any:
    alone = Parser(interpolation=None)
    alone.read_dict({"global": {key: text}})
    built_in = BUILT_IN.get(key)
    try:
        value = alone.as_dict()["global"][key]
    except ValueError:
        if not isinstance(built_in, int):  # the text may be a password
            raise ConfigurationError(f"{place} is not a Python value: text needs quotes") from None
        value = None
    if isinstance(built_in, int) and not isinstance(value, int | float):
        kind = "True or False" if isinstance(built_in, bool) else "a number"
        raise ConfigurationError(f"{place} = {text} is not {kind}")
    return value


def _check(place: str, key: str, value: Any) -> None:
    root, _, name = key.partition(".")
    owners = {"server": cherrypy.server, "log": cherrypy.log}
    if root in owners and not hasattr(owners[root], name):
        raise ConfigurationError(f"{place}: CherryPy has no such setting")
    if root in _UNUSED_ROOTS and value:
        raise ConfigurationError(
            f"{place}: CherryPy's {root} does not run in this service; it can only be switched off"
        )
    if root not in owners and root not in _KNOWN_ROOTS | _UNUSED_ROOTS:
        raise ConfigurationError(f"{place}: CherryPy has no such setting")


class OneLine(logging.Formatter):
    """Writes a message on one line of bounded length: clients choose file names, paths and headers."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message of *record* and the lines of its traceback, with escapes for what does not print."""
        message = record.getMessage()
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[:_LONGEST_MESSAGE]}... ({len(message)} characters)"
        shown = logging.makeLogRecord({**vars(record), "msg": printable(message), "args": ()})
        lines = super().format(shown).split("\n")
        return "\n".join([lines[0], *(printable(line[:_LONGEST_MESSAGE]) for line in lines[1:])])


def log_to_stderr() -> None:
    """Send what the service and CherryPy log to standard error, a line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger(LOG_NAME).setLevel(logging.INFO)
    # One line a request, into the file that log.access_file names or nowhere.
    cherrypy.log.access_log.propagate = False
    cherrypy.log.error_log.propagate = not cherrypy.log.screen
