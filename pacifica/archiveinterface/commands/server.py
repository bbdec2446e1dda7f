"""The command ``pacifica-archiveinterface``: serves an archive over HTTP."""

import argparse
import logging
import queue
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import ConfigurationError
from ..globals import LOG_NAME
from ..http.options import HttpOptions
from ..servers.launcher import ArchiveServer
from ..web.application import Settings, log_to_stderr, make_application
from .startup import common_options, fail, make_archive, read_settings

_SERVER = "pacifica-archiveinterface"
_log = logging.getLogger(LOG_NAME)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve an archive over HTTP until SIGTERM or SIGINT; return the exit code.

    0 after a clean stop, 2 when the configuration is wrong.
    """
    given = _server_parser().parse_args(arguments)
    log_to_stderr()
    try:
        archive, config = make_archive(given.type, given.prefix, given.config)
        archive.sweep()
        settings = read_settings(given.cherrypy_config)
        settings = {**settings, "global": {**settings.get("global", {}), **_socket_settings(given)}}
        return _serve(archive, settings, config.http)
    except ConfigurationError as error:
        return fail(_SERVER, error)


def _server_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        _SERVER, description="Run the archive interface.", parents=[common_options(default=None)]
    )
    parser.add_argument("--cherrypy-config", metavar="FILE", help="CherryPy's configuration, server.conf")
    parser.add_argument("-p", "--port", type=_port, help="port to listen on (default 8080), 0 for a free one")
    parser.add_argument("-a", "--address", help="address to listen on (default 127.0.0.1)")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _socket_settings(given: argparse.Namespace) -> dict[str, object]:
    asked = {"server.socket_port": given.port, "server.socket_host": given.address}
    return {key: value for key, value in asked.items() if value is not None}


def _serve(archive: AbstractBackendArchive, settings: Settings, options: HttpOptions) -> int:
    application = make_application(archive, settings, options)
    server = _make_server(application, options.drain_seconds)
    try:
        server.prepare()
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {_place(server)}: {_reason(error)}") from error
    # An Event's lock may be held by the very thread that a second signal interrupts; this has none.
    stops: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stops.put(number))
    _log.info("%s serves %s on http://%s", _SERVER, archive.prefix, _place(server))
    failure = _run(server, stops)
    _log.info("%s has stopped", _SERVER)
    return failure


def _make_server(application: Any, drain_seconds: float) -> ArchiveServer:
    try:
        return ArchiveServer(application, drain_seconds)
    except (OSError, ImportError) as error:  # the certificate and its key are read here
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"TLS cannot be set up with server.ssl_certificate and server.ssl_private_key: {reason}"
        ) from error


def _run(server: ArchiveServer, stops: "queue.SimpleQueue[int]") -> int:
    thread = threading.Thread(target=server.serve, name="connections")
    thread.start()
    failed = not _wait_for_stop(thread, stops)
    server.stop()
    thread.join()
    return int(failed)


def _wait_for_stop(thread: threading.Thread, stops: "queue.SimpleQueue[int]") -> bool:
    """Return True when asked to stop, False when *thread* ends by itself."""
    while thread.is_alive():
        with suppress(queue.Empty):
            stops.get(timeout=0.5)  # seconds
            return True
    return False


def _place(server: ArchiveServer) -> str:
    host, port = server.bind_addr[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError) -> str:
    # cheroot keeps the reason in its text only: (('127.0.0.1', 80): [Errno 13] Permission denied)
    return (error.strerror or str(error).rpartition("] ")[2].rstrip(")")).lower()
