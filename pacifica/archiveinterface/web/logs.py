"""The log of the service and of CherryPy: one line for each message."""

import logging
import sys

import cherrypy
from cherrypy._cplogging import LogManager, NullHandler

from ..globals import LOG_NAME
from ..logs.formatters import JsonFormatter, TextFormatter

_FORMATTERS = {"text": TextFormatter, "json": JsonFormatter}
_handler = logging.StreamHandler()


def log_to_stderr() -> None:
    """Send what the service and CherryPy log to standard error, a line each."""
    form_log("text")
    _handler.stream = sys.stderr  # setStream() flushes the old one, which may be closed
    logging.basicConfig(handlers=[_handler], level=logging.WARNING)
    logging.getLogger(LOG_NAME).setLevel(logging.INFO)
    # One line a request, into the file that log.access_file names or nowhere.
    cherrypy.log.access_log.propagate = False
    cherrypy.log.error_log.propagate = not cherrypy.log.screen


def form_log(form: str) -> None:
    """Write messages as ``text`` or ``json`` from now on."""
    _handler.setFormatter(_FORMATTERS[form]())


class CherryPyLog(LogManager):
    """CherryPy's log; a line that nobody reads is not composed."""

    def access(self) -> None:
        """Write the line of a request."""
        if _is_heard(self.access_log):
            super().access()


def _is_heard(log: logging.Logger | None) -> bool:
    while log:
        if any(not isinstance(handler, NullHandler) for handler in log.handlers):
            return True
        log = log.parent if log.propagate else None
    return False
