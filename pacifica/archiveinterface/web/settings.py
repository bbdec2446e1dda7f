"""CherryPy's configuration: what is built in, and a site's own file."""

import re
from typing import Any

import cherrypy
from cherrypy.lib.reprconf import Parser

from ..exception import ConfigurationError
from ..options import read_sections

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
    "tools.log_tracebacks.on": False,  # error_answer logs errors
    "tools.log_headers.on": False,
    "tools.trailing_slash.on": False,
}

_KNOWN_ROOTS = frozenset(("environment", "error_page", "hooks", "request", "response", "tools", "wsgi"))
_UNUSED_ROOTS = frozenset(("checker", "engine"))  # parts of CherryPy that do not run here
_SECTION = re.compile(r"global|/|(?:/[^/]+)+")


def read_cherrypy_config(path: str) -> Settings:
    """Return the sections of the CherryPy file at *path*.

    Raises ConfigurationError, naming file, section and key, when something in it is wrong.
    """
    settings: Settings = {
        section: {key: _value(f"{path}: [{section}] {key}", key, text) for key, text in keys.items()}
        for section, keys in read_sections(path, Parser()).items()
    }
    for section, keys in settings.items():
        if not _SECTION.fullmatch(section):
            raise ConfigurationError(
                f"{path}: [{section}]: a section is [global] or a path, without a slash at its end"
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
