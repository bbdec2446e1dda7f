"""Answers that are sent before uWSGI sees them."""

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uwsgi

from ...exception import ArchiveInterfaceError
from ...globals import LOG_NAME
from ...http.response_body import ResponseBody
from ...http.server_calls import LINGER, TOLD_ADDRESS, TRANSMIT
from ...web.response import ArchiveAnswer
from .bodies import prepare_body
from .connection import Connection
from .workers import replace_lost_recaller

_AUTHORITY = re.compile(r"https?://[^/?]*", re.IGNORECASE)
_log = logging.getLogger(LOG_NAME)


class UwsgiAnswer(ArchiveAnswer):
    """An answer that is sent before uWSGI sees it."""

    def __init__(self, environ: dict[str, Any], start_response: Callable[..., Any], application: Any) -> None:
        """Answer the request in *environ*, and say that the connection will be closed.

        A client that is not told sends its next request into a closed connection.
        """

        def start(status: str, headers: list[tuple[str, str]]) -> Any:
            return start_response(status, [*headers, ("Connection", "close")])

        replace_lost_recaller()
        self._connection = connection = Connection(uwsgi.connection_fd())
        _complete(environ)
        prepare_body(environ, connection)
        if not connection.is_http:
            environ[TOLD_ADDRESS] = True
        if connection.is_plain:
            environ[TRANSMIT] = connection.transmit
            environ[LINGER] = connection.linger_for
        super().__init__(environ, start, application)

    def __iter__(self) -> Any:
        """Send the answer, and leave nothing for uWSGI to send."""
        try:
            with suppress(OSError):  # the client has left
                self._send()
                self._connection.linger()
        except ArchiveInterfaceError as error:
            _log.error("%s broke off: %s", self.environ["REQUEST_URI"], error)
        return iter(())

    def _send(self) -> None:
        write = self.write
        if isinstance(self.iter_response, ResponseBody) and self._connection.is_plain:
            write(b"")  # the head
            write = self._connection.send
        for block in super().__iter__():
            write(block)
        self.write(b"")  # the head, if there was no block


def _complete(environ: dict[str, Any]) -> None:
    """Add what uWSGI leaves out of a malformed request line, and leave out the authority of an absolute target."""
    for name in ("REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "SERVER_PROTOCOL"):
        environ.setdefault(name, "")
    if _AUTHORITY.match(environ["REQUEST_URI"]):
        for name in ("REQUEST_URI", "PATH_INFO"):
            environ[name] = _AUTHORITY.sub("", environ[name], count=1) or "/"
