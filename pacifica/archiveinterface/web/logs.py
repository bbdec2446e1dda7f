"""The log of the service and of CherryPy: one line for each message."""

import logging
import sys

import cherrypy
from cherrypy._cplogging import LogManager, NullHandler

from ..globals import LOG_NAME
from ..printing import printable

_LONGEST_MESSAGE = 2000  # characters of a line in the log


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


class AccessLog(LogManager):
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
