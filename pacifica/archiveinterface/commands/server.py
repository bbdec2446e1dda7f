"""The command ``pacifica-archiveinterface``: serves an archive over HTTP."""

import argparse
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from ..auth.authenticator import named_principals
from ..config import Config
from ..exception import ConfigurationError
from ..globals import LOG_NAME
from ..http.headers.request_head import is_loopback
from ..logs.access import access_log
from ..logs.tracing import span_observers
from ..metrics.definitions import share_cells
from ..servers.launcher import ArchiveServer, listen
from ..servers.running import Running
from ..servers.supervisor import Assignment, Supervisor, Work
from ..servers.systemd import Watchdog, notify_ready
from ..web.application import make_application
from ..web.exchange import Observer
from ..web.logs import form_log, log_to_stderr
from ..web.settings import BUILT_IN, Settings
from .startup import Choice, Site, choose, common_options, fail, read_settings

_SERVER = "pacifica-archiveinterface"
_log = logging.getLogger(LOG_NAME)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve an archive over HTTP until SIGTERM or SIGINT; return the exit code.

    0 after a clean stop, 2 when the configuration is wrong.
    """
    given = _parser().parse_args(arguments)
    log_to_stderr()
    try:
        return _run(given)
    except ConfigurationError as error:
        return fail(_SERVER, error)


def _run(given: argparse.Namespace) -> int:
    service = _Service.read(given)
    if given.check:
        service.check()
        print("the service can start with this configuration")
        return 0
    failure = _supervise(service, given) if given.processes else _serve(service)
    _log.info("%s has stopped", _SERVER)
    return failure


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        _SERVER, description="Run the archive interface.", parents=[common_options(default=None)]
    )
    parser.add_argument("--cherrypy-config", metavar="FILE", help="CherryPy's configuration, server.conf")
    parser.add_argument("-p", "--port", type=_port, help="port to listen on (default 8080), 0 for a free one")
    parser.add_argument("-a", "--address", help="address to listen on (default 127.0.0.1)")
    parser.add_argument(
        "--processes",
        type=_processes,
        default=1,
        metavar="N",
        help="worker processes that serve, under a supervisor (default 1); 0: one process, which cannot reload",
    )
    parser.add_argument("--check", action="store_true", help="check the configuration as a start does, and end")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _processes(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) <= 1024:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1024")


class _Service(NamedTuple):
    """What is served: all that is read from files, once for all processes."""

    choice: Choice
    settings: Settings

    @classmethod
    def read(cls, given: argparse.Namespace) -> "_Service":
        """Return the service that the options and the files describe. Raises ConfigurationError."""
        choice = choose(given.type, given.prefix, given.config)
        form_log(choice.config.log.format)
        settings = read_settings(given.cherrypy_config)
        asked = {"server.socket_port": given.port, "server.socket_host": given.address}
        chosen = {key: value for key, value in asked.items() if value is not None}
        return cls(choice, {**settings, "global": {**settings.get("global", {}), **chosen}})

    def setting(self, key: str) -> Any:
        """Return the setting of CherryPy's server that has this name."""
        return self.settings["global"].get(key, BUILT_IN.get(key))

    @property
    def address(self) -> str | tuple[str, int]:
        """The path of a local socket, or the host and the port to listen on."""
        path: str | None = self.setting("server.socket_file")
        return path or (self.setting("server.socket_host"), self.setting("server.socket_port"))

    @property
    def is_encrypted(self) -> bool:
        """Whether the server itself does TLS."""
        return bool(self.setting("server.ssl_certificate"))

    @property
    def pages_address(self) -> tuple[str, int] | None:
        """The host and the port of the pages, if they have a port of their own."""
        return self.choice.config.pages.address

    def listeners(self) -> list[socket.socket]:
        """Return the socket that listens for clients and, if there is one, that of the pages."""
        addresses = [self.address, *([self.pages_address] if self.pages_address else [])]
        return [self._listener(address) for address in addresses]

    def _listener(self, address: str | tuple[str, int]) -> socket.socket:
        try:
            return listen(address, self.setting("server.socket_queue_size"))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigurationError(f"cannot listen on {_place(address)}: {reason}") from error

    def announcement(self, address: Any) -> str:
        """Return the line that says what is served at *address*; warn of one that others reach."""
        place = _place(address)
        users = named_principals(self.choice.config.auth)
        if users is None and not (isinstance(address, str) or is_loopback(address[0])):
            _log.warning("whoever reaches %s may read, replace and delete files: the service has no users", place)
        scheme = "https" if self.is_encrypted else "http"
        security = f"{'TLS' if self.is_encrypted else 'no TLS'}, users {'none' if users is None else users}"
        return f"{_SERVER} serves {self.choice.prefix} on {scheme}://{place}: {self.choice.summary()}, {security}"

    def check(self) -> None:
        """Raise ConfigurationError when a start would."""
        site = self.choice.site()
        site.prepare()
        site.require_layout()
        self.servers(site, [], [None])

    def servers(
        self, site: Site, observers: list[Observer], listeners: Sequence[socket.socket | None]
    ) -> list[ArchiveServer]:
        """Return a server of *site* for each of *listeners*; *observers* are told of requests.

        Raises ConfigurationError.
        """
        config = self.choice.config
        http, tape, pages = config.http, config.tape, config.pages
        application = make_application(
            site.archive, self.settings, http, site.recalls, tape, pages, site.limits, config.auth, site.audit
        )
        application.observers += observers
        return [_make_server(application, config, listener) for listener in listeners]

    def work(self, pages: Sequence[socket.socket], assignment: Assignment) -> int:
        """Serve as one of several worker processes; *pages* are listening sockets beside the one assigned."""
        site = self.choice.site()
        if assignment.sweeps:
            site.prepare()
        site.require_layout()
        with self.running(site, [assignment.listener, *pages], assignment.supervisor) as running:
            assignment.ready()
            with site.recalls.at_work():
                return running.serve()

    @contextmanager
    def running(
        self, site: Site, listeners: Sequence[socket.socket], supervisor: int | None = None
    ) -> Iterator[Running]:
        """Give the prepared servers of *site*; at the end of the block all that they log is written."""
        with access_log(self.choice.config.log) as access, span_observers() as spans:
            server, *others = self.servers(site, [*access, *spans], listeners)
            for each in (server, *others):
                each.prepare()
            yield Running(server, supervisor, others)


def _serve(service: _Service) -> int:
    site = service.choice.site()
    site.prepare()
    site.require_layout()
    listeners = service.listeners()
    with service.running(site, listeners) as running:
        announcement = service.announcement(listeners[0].getsockname())
        _log.info(announcement)
        with site.recalls.at_work():
            notify_ready(announcement)
            return running.serve()


def _supervise(service: _Service, given: argparse.Namespace) -> int:
    listener, *pages = service.listeners()
    watchdog = Watchdog(listener)
    share_cells(service.choice.config.pages.metrics_directory)

    def configure() -> Work:
        read = _Service.read(given)
        if (read.address, read.pages_address) != (service.address, service.pages_address):
            _log.warning("the new address and port take effect when the service is restarted")
        watchdog.encrypted = read.is_encrypted
        return partial(read.work, pages)

    announcement = service.announcement(listener.getsockname())
    return Supervisor(listener, given.processes, configure, watchdog).run(announcement)


def _make_server(application: Any, config: Config, listener: socket.socket | None) -> ArchiveServer:
    try:
        return ArchiveServer(application, config.launcher, config.http.drain_seconds, listener)
    except (OSError, ImportError) as error:  # the certificate and its key are read here
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"TLS cannot be set up with server.ssl_certificate and server.ssl_private_key: {reason}"
        ) from error


def _place(address: Any) -> str:
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
