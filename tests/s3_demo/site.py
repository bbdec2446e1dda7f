"""A site: a SeaweedFS cluster, MariaDB for the recalls, nodes of the service under uWSGI, and nginx in front of them.

The nodes and nginx run with the files of ``deploy/``.
"""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import requests

from tests.support.mariadb import MariaDB
from tests.support.nginx import nginx_command
from tests.support.seaweedfs_cluster import SeaweedCluster
from tests.support.server_process import HOST, ServerProcess, free_ports

ROOT = Path(__file__).parents[2]
BUCKET = "archive"
PREFIX = f"s3://{BUCKET}/files"
NODES = 3
USER = "pacifica"

CONFIG = """
[http]
head = standard

[recalls]
database = {database}

[s3]
endpoint_url = {endpoint}
region = us-east-1
addressing_style = path
credentials_file = {credentials}
create_bucket = true
# Small, so that files of a few MB show how parts are sent.
part_size = 5242880
"""


class S3Site:
    """All servers of a site, with their data in *directory*; the site answers on *port*.

    *processes* is how many requests each node serves at a time.
    """

    def __init__(self, directory: Path, port: int, processes: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.store = SeaweedCluster(directory / "store", BUCKET)
        self.database = MariaDB(directory / "mariadb", ["--innodb-doublewrite=1"])  # it is killed
        self._config, self._processes = directory / "config.ini", processes
        ports = free_ports(NODES)
        self.nodes = [self._node(directory / f"node{number}", port) for number, port in enumerate(ports, 1)]
        self.nginx = _nginx(directory / "nginx", port, ports)

    @property
    def servers(self) -> list[ServerProcess | MariaDB]:
        """All of them, those that others need first."""
        return [*self.store.processes, self.database, *self.nodes, self.nginx]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start all servers; the block begins when the site answers, and nothing runs after it."""
        try:
            self._start()
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """End all servers at once; nobody needs what they have stored any more."""
        for server in reversed(self.servers):
            server.kill()

    def _start(self) -> None:
        self.store.start()
        self.database.start()
        self._config.write_text(
            CONFIG.format(
                database=_new_database(self.database),
                endpoint=self.store.endpoint,
                credentials=self.store.write_credentials(),
            )
        )
        for server in (*self.nodes, self.nginx):
            server.start()
        for server in (*self.nodes, self.nginx):
            server.await_start(partial(_answers, server.url))

    def _node(self, directory: Path, port: int) -> ServerProcess:
        directory.mkdir(parents=True)
        changes = {
            f"{HOST}:8080": f"{HOST}:{port}",
            "/run/pacifica-archiveinterface/": "",
            f"http-socket = {HOST}:8081\n": "",
            "uwsgi-socket = uploads.sock\n": "",
            "map-socket = 1:1,2,3,4,5,6,7,8,9,10,11,12\n": "",
            "map-socket = 3:1,2,3,4,5,6,7,8,9,10,11,12\n": "",
            "processes = 16": f"processes = {self._processes}",
        }
        settings = shipped("uwsgi.ini", directory, changes)
        environment = {
            **_without_settings(os.environ),
            "PAI_BACKEND_TYPE": "s3",
            "PAI_PREFIX": PREFIX,
            "ARCHIVEINTERFACE_CONFIG": str(self._config),
            "ARCHIVEINTERFACE_CPCONFIG": str(ROOT / "server.conf"),
        }
        uwsgi = Path(sys.executable).with_name("uwsgi")
        return ServerProcess(directory, port, [str(uwsgi), "--ini", str(settings)], environment)


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the *environment* without what configures a service or boto3."""
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "PAI_"))}


def shipped(name: str, directory: Path, changes: Mapping[str, str]) -> Path:
    """Return a copy of the file *name* of ``deploy/`` with *changes*, each of which changes something."""
    text = (ROOT / "deploy" / name).read_text()
    for shown, real in changes.items():
        if shown not in text:
            raise ValueError(f"deploy/{name} has no {shown!r}")
        text = text.replace(shown, real)
    copy = directory / name
    copy.write_text(text)
    return copy


def _nginx(directory: Path, port: int, nodes: list[int]) -> ServerProcess:
    directory.mkdir(parents=True)
    servers = "\n    ".join(f"server {HOST}:{node};" for node in nodes)
    changes = {f"server {HOST}:8080;": servers, "listen 80;": f"listen {HOST}:{port};"}
    return ServerProcess(directory, port, nginx_command(directory, shipped("nginx.conf", directory, changes)))


def _new_database(server: MariaDB) -> str:
    """Return the URL of a new database."""
    password = secrets.token_hex(16)
    server.execute(f"CREATE DATABASE {USER} CHARACTER SET utf8mb4")
    server.create_account(USER, password, f"ALL ON {USER}.*")
    return f"mariadb://{USER}:{password}@{server.host}:{server.port}/{USER}?ssl_disabled=true"


def _answers(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(url, timeout=5).ok
    return False
