"""The services that are compared, and the floors below them: how each is started, and what it used."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ORIGINAL = Path("build/original")  # its virtual environment
START_SECONDS = 60

_BIN = Path(sys.executable).parent
_ROOT = Path(__file__).parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
# uWSGI's http-socket closes after each answer; a client that is not told runs into it.
_UWSGI = (
    "--master -p 4 --thunder-lock --single-interpreter --enable-threads --need-app --listen 1024 --disable-logging"
).split() + ["--add-header", "Connection: close"]

# The original answers with CherryPy's settings only, and as far as its documentation shows them.
_ORIGINAL_CHERRYPY = """[global]
log.screen: False
[/]
request.dispatch: cherrypy.dispatch.MethodDispatcher()
tools.response_headers.on: True
tools.response_headers.headers: [('Content-Type', 'application/json')]
"""

_NGINX = """daemon off;
pid {home}/nginx.pid;
error_log {home}/log;
worker_processes 4;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 0;
    client_body_temp_path {home}/files/.body;
    proxy_temp_path {home}/proxy;
    uwsgi_temp_path {home}/uwsgi;
    fastcgi_temp_path {home}/fastcgi;
    scgi_temp_path {home}/scgi;
    keepalive_requests 1000000;
    if_modified_since before;
    server {{
        listen 127.0.0.1:{port};
        root {home}/files;
        dav_methods PUT DELETE;
    }}
}}
"""


@dataclass
class Running:
    """A service that answers at *url*, which ends in a slash, and keeps its files in *files*."""

    name: str
    url: str
    files: Path
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return what all its processes have used of the processors, living and dead."""
        return sum(sum(map(int, fields[11:15])) for fields in map(_stat, self._processes())) / _TICKS

    def forget_peak(self) -> None:
        """Let `peak_mebibytes` begin anew."""
        for pid in self._processes():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_mebibytes(self) -> float:
        """Return the sum of what each of its processes had resident at most."""
        return sum(_peak_kibibytes(pid) for pid in self._processes()) / 1024

    def _processes(self) -> list[int]:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
        return [pid for pid in pids if (fields := _stat(pid)) and int(fields[3]) == self.process.pid]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third on (proc(5)); none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _peak_kibibytes(pid: int) -> int:
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 0


@dataclass(frozen=True)
class Contestant:
    """A service under the *name* that tables show, and the *command* that starts it, given its home and port.

    *kinds* are the kinds of request that it can answer.
    """

    name: str
    command: Callable[[Path, int], Sequence[str]]
    kinds: frozenset[str]
    environment: Callable[[Path], Mapping[str, str]] = lambda home: {}
    conditional_head: bool = False
    keeps_files: bool = True

    @contextmanager
    def running(self, home: Path) -> Iterator[Running]:
        """Run the service with its files below *home* until the block is left."""
        (home / "files").mkdir(parents=True)
        port = _free_port()
        environment = {**_clean_environment(), "HOME": str(home), **self.environment(home)}
        with (
            (home / "log").open("wb") as log,
            subprocess.Popen(
                list(self.command(home, port)),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                running = Running(self.name, f"http://127.0.0.1:{port}/", home / "files", process)
                _await(running, home / "log")
                yield running
            finally:
                _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # uWSGI takes SIGTERM for a reload
    with suppress(subprocess.TimeoutExpired):
        process.wait(START_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _await(running: Running, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(running.url, timeout=START_SECONDS).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if running.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{running.name} did not start:\n{log.read_text()}") from None
        time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("PAI_", "ARCHIVEINTERFACE_"))}


def service_environment(home: Path, options: str = "") -> dict[str, str]:
    """Return the environment that starts our service on *home* with the *options* of a config.ini."""
    (home / "config.ini").write_text(options)
    return {
        "PAI_BACKEND_TYPE": "posix",
        "PAI_PREFIX": str(home / "files"),
        "ARCHIVEINTERFACE_CONFIG": str(home / "config.ini"),
        "PYTHONPATH": str(_ROOT),
    }


def _original_environment(home: Path) -> dict[str, str]:
    (home / "cherrypy.ini").write_text(_ORIGINAL_CHERRYPY)
    return {
        "PAI_BACKEND_TYPE": "posix",
        "PAI_PREFIX": str(home / "files"),
        "ARCHIVEINTERFACE_CPCONFIG": str(home / "cherrypy.ini"),
    }


def _uwsgi(module: str, home: Path, port: int, program: Path = _BIN) -> list[str]:
    return [str(program / "uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--module", module, *_UWSGI]


def _launcher(home: Path, port: int) -> list[str]:
    return [str(_BIN / "pacifica-archiveinterface"), "-a", "127.0.0.1", "-p", str(port)]


def _floor(name: str, home: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.floors", name, str(port)]


def _nginx(home: Path, port: int) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(_NGINX.format(home=home, port=port, user=user))
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    return [program, "-e", str(home / "log"), "-c", str(home / "nginx.conf")]


def _rclone(home: Path, port: int) -> list[str]:
    return [str(_BIN / "rclone"), "serve", "webdav", str(home / "files"), "--addr", f"127.0.0.1:{port}"]


def _floor_environment(seed: Path, home: Path) -> dict[str, str]:
    return {"FLOOR_FILES": str(seed), "PYTHONPATH": str(_ROOT)}


ALL = frozenset(("GET", "HEAD", "PUT", "range", "mixed", "large"))
_FLOOR_KINDS = frozenset(("GET", "HEAD", "PUT"))
_WSGI = "pacifica.archiveinterface.wsgi"

UWSGI, LAUNCHER, ORIGINAL_NAME = "this service, uWSGI", "this service, launcher", "original, uWSGI"
NOT_DURABLE = "this service, uWSGI, durability none"
NGINX, RCLONE = "nginx dav", "rclone webdav"
CHERRYPY_UWSGI, WSGI_UWSGI = "bare CherryPy, uWSGI", "bare WSGI, uWSGI"
CHERRYPY_LAUNCHER, WSGI_LAUNCHER = "bare CherryPy, launcher", "bare WSGI, launcher"


def contestants(seed: Path) -> list[Contestant]:
    """Return all that are compared; the floors answer with the files below *seed*."""
    floor = partial(_floor_environment, seed)
    undurable = partial(service_environment, options="[archive]\ndurability = none\n")
    return [
        Contestant(UWSGI, partial(_uwsgi, _WSGI), ALL, service_environment),
        Contestant(NOT_DURABLE, partial(_uwsgi, _WSGI), frozenset(("PUT", "large")), undurable),
        Contestant(LAUNCHER, _launcher, ALL, service_environment),
        # It does not know Range, nor the query that came before it.
        Contestant(
            ORIGINAL_NAME,
            partial(_uwsgi, _WSGI, program=Path("/tmp/obench/bin")),
            ALL - {"range"},
            _original_environment,
        ),
        # wrk waits for the bytes that their answer to HEAD announces; one with 304 announces none.
        Contestant(NGINX, _nginx, ALL, conditional_head=True),
        Contestant(RCLONE, _rclone, ALL, conditional_head=True),
        Contestant(
            CHERRYPY_UWSGI,
            partial(_uwsgi, "benchmarks.floors:cherrypy_wsgi"),
            _FLOOR_KINDS,
            floor,
            keeps_files=False,
        ),
        Contestant(
            WSGI_UWSGI,
            partial(_uwsgi, "benchmarks.floors:wsgi_application"),
            _FLOOR_KINDS,
            floor,
            keeps_files=False,
        ),
        Contestant(CHERRYPY_LAUNCHER, partial(_floor, "cherrypy"), _FLOOR_KINDS, floor, keeps_files=False),
        Contestant(WSGI_LAUNCHER, partial(_floor, "wsgi"), _FLOOR_KINDS, floor, keeps_files=False),
    ]
