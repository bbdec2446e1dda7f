"""The application under uWSGI: what uWSGI does not do itself.

uWSGI's http-socket closes every connection, takes absolute-form targets for paths, never sends
``100 Continue``, and takes a chunk size that is not a number for the end of the body. Its own writes
fail when a signal arrives while they wait for the client, so a graceful stop would cut downloads off.
"""

import logging
import os
import re
import select
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import uwsgi

from ..exception import ArchiveInterfaceError, ConfigurationError
from ..globals import LOG_NAME, python_program
from ..http.response_body import ResponseBody
from ..http.server_calls import LINGER, TOLD_ADDRESS, TRANSMIT, FilePart
from ..web.response import ArchiveAnswer
from .lingering import linger
from .patience import Patience
from .transmission import Transmission, send_block

# A reverse proxy that has decoded a chunked body and encoded it anew says so: `X-Pacifica-Chunked: checked`.
_CHECKED = ("HTTP_X_PACIFICA_CHUNKED", "checked")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Options that name sockets. What is written to a connection of these is what the client receives.
_PLAIN = ("http-socket", "uwsgi-socket")
_SOCKET_TIMEOUT = float(uwsgi.opt.get("socket-timeout", 4))  # seconds; uWSGI's default
_TIMEOUT = "timeout during"
_AUTHORITY = re.compile(r"https?://[^/?]*", re.IGNORECASE)
_LOOK_INTERVAL = 2.0  # seconds
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
_WITH_RECALLER = (1, 2)  # numbers of workers
_recallers: list[subprocess.Popen[bytes]] = []
_log = logging.getLogger(LOG_NAME)


_at_start: list[Callable[[], None]] = []


def at_worker_start(action: Callable[[], None]) -> None:
    """Let each worker do *action* before its first request, after the actions before."""
    _at_start.append(action)
    uwsgi.post_fork_hook = _start_worker


def _start_worker() -> None:
    try:
        for action in _at_start:
            action()
    except KeyboardInterrupt:
        os._exit(0)  # uWSGI stops, and tells each worker once


def end_with_master() -> None:
    """Let the worker end when uWSGI stops, even if it was still starting when it was told to.

    uWSGI tells each worker once to finish. One that does not take signals yet would wait for ever on the closed
    sockets, and uWSGI for it. Like all threads, this one runs between requests only with ``enable-threads``.
    """
    threading.Thread(target=_end_with_master, name="stop", daemon=True).start()


def stop_if_refused(check: Callable[[], None]) -> None:
    """Do the *check* in a worker; uWSGI stops when it raises ConfigurationError."""
    try:
        check()
    except ConfigurationError as error:
        _log.error("the service stops: %s", error)
        os.kill(uwsgi.masterpid(), signal.SIGINT)


def _end_with_master() -> None:
    # uWSGI ends a process in the thread in which a signal arrives. Python would wait there for its main one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    while True:
        time.sleep(_LOOK_INTERVAL)
        is_idle = uwsgi.workers()[uwsgi.worker_id() - 1]["status"] == b"idle"
        if is_idle and _are_shut(uwsgi.sockets):
            os.kill(os.getpid(), signal.SIGHUP)


def _are_shut(descriptors: Iterable[int]) -> bool:
    """Return whether one of the listening sockets was shut (shutdown-sockets).

    In a worker that does not serve a socket (map-socket), /dev/null has its number, and that is never shut.
    """
    poll = select.poll()  # SO_ACCEPTCONN stays as it is when a local socket is shut
    for descriptor in descriptors:
        poll.register(descriptor, 0)  # POLLHUP is reported always
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def start_recaller() -> None:
    """Let two of the workers run a recaller, each in a process of its own: one is at work, the other stands by.

    Threads of a worker run only during requests unless uWSGI was started with ``enable-threads``. The process ends
    with its worker.
    """
    if uwsgi.worker_id() in _WITH_RECALLER:
        command = [python_program(), "-m", "pacifica.archiveinterface.commands.recaller", str(os.getpid())]
        _recallers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True))


def _replace_lost_recaller() -> None:
    """Start a recaller again if the one of this worker was killed."""
    if _recallers and _recallers[-1].poll() is not None:
        start_recaller()


class UwsgiAnswer(ArchiveAnswer):
    """An answer that is sent before uWSGI sees it."""

    def __init__(self, environ: dict[str, Any], start_response: Callable[..., Any], application: Any) -> None:
        """Answer the request in *environ*, and say that the connection will be closed.

        A client that is not told sends its next request into a closed connection.
        """

        def start(status: str, headers: list[tuple[str, str]]) -> Any:
            return start_response(status, [*headers, ("Connection", "close")])

        _replace_lost_recaller()
        self._connection = connection = _Connection(uwsgi.connection_fd())
        _prepare(environ, connection)
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


class _Connection:
    """The connection of the request that this worker answers, as ``uwsgi.connection_fd()`` gives it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._patience = Patience(_SOCKET_TIMEOUT)
        self._unwanted = 0  # bytes that are read after the answer
        option = _option_of_all() or _option_of(descriptor)
        self.is_http = option == "http-socket"
        """Whether the client, or a proxy, speaks HTTP on it."""
        self.is_plain = option in _PLAIN
        """Whether what is written to it is what the client receives: neither encrypted nor packed."""

    def ask(self) -> None:
        """Ask the client for the body that it waits to send."""
        send_block(self._descriptor, _CONTINUE, self._patience)

    def send(self, block: bytes) -> None:
        """Send *block*, whatever signals arrive."""
        send_block(self._descriptor, block, self._patience)

    def transmit(self, part: FilePart, count: Callable[[int], None]) -> None:
        """Send *part* once the head is sent, whatever signals arrive."""
        Transmission(self._descriptor, part, count).finish(self._patience)

    def linger_for(self, most: int) -> None:
        """After the answer, read up to *most* bytes of what the client still sends."""
        self._unwanted = most

    def linger(self) -> None:
        """Read what `linger_for` has been told."""
        if self._unwanted:
            with _socket(self._descriptor) as connection:
                linger(connection, self._unwanted)


@cache
def _option_of_all() -> str:
    """Return the option that names all the sockets that this worker serves, empty if there is no such option."""
    # In a worker that does not serve a socket (map-socket), /dev/null has its number.
    sockets = [descriptor for descriptor in uwsgi.sockets if stat.S_ISSOCK(os.fstat(descriptor).st_mode)]
    options = {_option_of(descriptor) for descriptor in sockets}
    return options.pop() if len(options) == 1 else ""


def _option_of(descriptor: int) -> str:
    """Return which of the options _PLAIN names the socket, or the one that it was accepted from; empty if none does."""
    with _socket(descriptor) as connection:
        name = connection.getsockname()
    place = name if isinstance(name, str) else f":{name[1]}"
    named = (option for option in _PLAIN if any(address.endswith(place) for address in _addresses(option)))
    return next(named, "")


def _socket(descriptor: int) -> socket.socket:
    return socket.socket(fileno=os.dup(descriptor))


def _addresses(option: str) -> list[str]:
    given = uwsgi.opt.get(option, [])
    return [address.decode() for address in (given if isinstance(given, list) else [given])]


def _prepare(environ: dict[str, Any], connection: _Connection) -> None:
    for name in ("REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "SERVER_PROTOCOL"):
        environ.setdefault(name, "")  # uWSGI leaves out what a malformed request line does not have
    if _AUTHORITY.match(environ["REQUEST_URI"]):
        for name in ("REQUEST_URI", "PATH_INFO"):
            environ[name] = _AUTHORITY.sub("", environ[name], count=1) or "/"
    if environ.get("HTTP_TRANSFER_ENCODING"):
        _prepare_chunks(environ, connection)
    elif environ.get("CONTENT_LENGTH"):
        environ["wsgi.input"] = _TimedInput(environ["wsgi.input"])
    expects = environ.get("HTTP_EXPECT", "").lower() == "100-continue"
    if expects and environ["SERVER_PROTOCOL"] != "HTTP/1.0" and connection.is_http:
        environ["wsgi.input"] = _AwaitedInput(environ["wsgi.input"], connection)


def _prepare_chunks(environ: dict[str, Any], connection: _Connection) -> None:
    name, value = _CHECKED
    if environ.get("CONTENT_LENGTH") and not connection.is_http:
        del environ["HTTP_TRANSFER_ENCODING"]  # the proxy has decoded the body and passed the header on
    elif environ.get(name) == value:
        environ["wsgi.input"] = _CheckedChunks()
        environ["wsgi.input_terminated"] = True


class _CheckedChunks:
    """The body of a chunked request, which uWSGI decodes but not through wsgi.input."""

    def read(self, size: int) -> bytes:
        """Return the next chunk, whatever its size; none at the end."""
        chunk: bytes = uwsgi.chunked_read()
        return chunk


class _TimedInput:
    """A body of which uWSGI says in words only that it came too late."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*. Raises TimeoutError, OSError."""
        try:
            block: bytes = self._body.read(size)
        except OSError as error:
            if str(error).startswith(_TIMEOUT):
                raise TimeoutError(str(error)) from error
            raise
        return block


class _AwaitedInput:
    """A body that the client sends only when it is asked to (RFC 9110, 10.1.1)."""

    def __init__(self, body: Any, connection: _Connection) -> None:
        self._body = body
        self._connection = connection
        self.is_awaited = True

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; the client is asked for the first."""
        if self.is_awaited:
            self.is_awaited = False
            self._connection.ask()
        block: bytes = self._body.read(size)
        return block
