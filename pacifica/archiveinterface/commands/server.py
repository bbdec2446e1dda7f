"""The command ``pacifica-archiveinterface``: serves an archive over HTTP."""

import argparse
import logging
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from ..exception import ConfigurationError
from ..globals import LOG_NAME
from ..servers.launcher import ArchiveServer, listen
from ..servers.running import Running
from ..servers.supervisor import Assignment, Supervisor
from ..web.application import make_application
from ..web.logs import log_to_stderr
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
        failure = _supervise(given) if given.processes else _serve(given)
    except ConfigurationError as error:
        return fail(_SERVER, error)
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
        "--processes", type=_processes, metavar="N", help="serve with so many worker processes (default: no others)"
    )
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _processes(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 1024:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1024")


class _Service(NamedTuple):
    """What is served: all that is read from files, once for all processes."""

    choice: Choice
    settings: Settings

    @classmethod
    def read(cls, given: argparse.Namespace) -> "_Service":
        """Return the service that the options and the files describe. Raises ConfigurationError."""
        choice = choose(given.type, given.prefix, given.config)
        settings = read_settings(given.cherrypy_config)
        asked = {"server.socket_port": given.port, "server.socket_host": given.address}
        chosen = {key: value for key, value in asked.items() if value is not None}
        return cls(choice, {**settings, "global": {**settings.get("global", {}), **chosen}})

    def setting(self, key: str) -> Any:
        """Return the setting of CherryPy's server that has this name."""
        return self.settings["global"].get(key, BUILT_IN.get(key))

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port to listen on."""
        return self.setting("server.socket_host"), self.setting("server.socket_port")

    def announcement(self, place: str) -> str:
        """Return the line that says what is served at *place*, host and port; warn of a place that others reach."""
        if not _is_loopback(place.rpartition(":")[0].strip("[]")):
            _log.warning("whoever reaches %s may read, replace and delete files: the service has no users", place)
        scheme = "https" if self.setting("server.ssl_certificate") else "http"
        facts = f"{self.choice.summary()}, {'TLS' if scheme == 'https' else 'no TLS'}, no users"
        return f"{_SERVER} serves {self.choice.prefix} on {scheme}://{place}: {facts}"

    def server(self, site: Site, listener: Any = None) -> ArchiveServer:
        """Return a server of *site*. Raises ConfigurationError."""
        http, tape = self.choice.config.http, self.choice.config.tape
        application = make_application(site.archive, self.settings, http, site.recalls, tape)
        return _make_server(application, http.drain_seconds, listener)

    def work(self, assignment: Assignment) -> int:
        """Serve as one of several worker processes."""
        site = self.choice.site()
        if assignment.sweeps:
            site.prepare()
        else:
            site.require_layout()
        server = self.server(site, assignment.listener)
        server.prepare()
        running = Running(server, assignment.supervisor)
        assignment.ready()
        with site.recalls.at_work():
            return running.serve()


def _serve(given: argparse.Namespace) -> int:
    service = _Service.read(given)
    site = service.choice.site()
    site.prepare()
    server = service.server(site)
    try:
        server.prepare()
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {_place(server.bind_addr)}: {_reason(error)}") from error
    running = Running(server)
    _log.info(service.announcement(_place(server.bind_addr)))
    with site.recalls.at_work():
        return running.serve()


def _supervise(given: argparse.Namespace) -> int:
    service = _Service.read(given)
    if service.setting("server.socket_file"):
        raise ConfigurationError("--processes: server.socket_file is not supported, the workers share a TCP port")
    try:
        listener = listen(service.address, service.setting("server.socket_queue_size"))
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {_place(service.address)}: {_reason(error)}") from error

    def configure() -> Any:
        read = _Service.read(given)
        if read.address != service.address:
            _log.warning("the new address and port take effect when the service is restarted")
        return read.work

    place = _place(listener.getsockname())
    return Supervisor(listener, given.processes, configure).run(service.announcement(place))


def _make_server(application: Any, drain_seconds: float, listener: Any) -> ArchiveServer:
    try:
        return ArchiveServer(application, drain_seconds, listener)
    except (OSError, ImportError) as error:  # the certificate and its key are read here
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"TLS cannot be set up with server.ssl_certificate and server.ssl_private_key: {reason}"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _place(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError) -> str:
    # cheroot keeps the reason in its text only: (('127.0.0.1', 80): [Errno 13] Permission denied)
    return (error.strerror or str(error).rpartition("] ")[2].rstrip(")")).lower()
