"""The services that are compared, and the floors below them: how each is configured and started."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path

from .running import Contestant
from .seed import SIZES

ROOT = Path(__file__).parent.parent
ORIGINAL = ROOT / "build/original"  # the virtual environment of the service that others wrote

UWSGI, LAUNCHER, ORIGINAL_UWSGI = "this service, uWSGI", "this service, launcher", "original, uWSGI"
NOT_DURABLE = "this service, uWSGI, durability none"
BEFORE_UWSGI, BEFORE_LAUNCHER = "before, uWSGI", "before, launcher"
NGINX, RCLONE = "nginx dav", "rclone webdav"
CHERRYPY_UWSGI, WSGI_UWSGI = "bare CherryPy, uWSGI", "bare WSGI, uWSGI"
LENGTHLESS_UWSGI = "bare WSGI without Content-Length, uWSGI"
CHERRYPY_LAUNCHER, WSGI_LAUNCHER = "bare CherryPy, launcher", "bare WSGI, launcher"

OF_A_CHANGE = (UWSGI, LAUNCHER, BEFORE_UWSGI, BEFORE_LAUNCHER, ORIGINAL_UWSGI, NGINX, WSGI_UWSGI, LENGTHLESS_UWSGI)

ALL = frozenset(("GET", "HEAD", "PUT", "range", "mixed", "large GET", "large PUT"))

_BIN = Path(sys.executable).parent
_FLOOR_KINDS = frozenset(("GET", "HEAD", "PUT"))
_SMALLEST = frozenset(list(SIZES)[:1])
_WSGI = "pacifica.archiveinterface.wsgi"
_UWSGI = [
    *("--master", "-p", "4", "--thunder-lock", "--single-interpreter", "--enable-threads", "--need-app"),
    *("--listen", "1024", "--disable-logging"),
    # http-socket closes after each answer; a client that is not told runs into it.
    *("--add-header", "Connection: close"),
]

# The original does not start without a CherryPy file; this is what its documentation shows.
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


# The others write none either.
_NO_ACCESS_LOG = "[log]\naccess = off\n"


def contestants(seed: Path, before: Path | None = None) -> list[Contestant]:
    """Return all that are compared; the floors answer with the files below *seed*.

    *before* is a checkout of another revision of this service, to be compared with.
    """
    return [*_ours(), *(_earlier(before) if before else []), _original(), *_others(), *_floors(seed)]


def _ours() -> list[Contestant]:
    return [
        service(UWSGI),
        service(NOT_DURABLE, kinds=frozenset(("PUT", "large PUT")), options="[archive]\ndurability = none\n"),
        service(LAUNCHER),
    ]


def _earlier(checkout: Path) -> list[Contestant]:
    return [service(BEFORE_UWSGI, checkout), service(BEFORE_LAUNCHER, checkout)]


def service(name: str, checkout: Path = ROOT, kinds: frozenset[str] = ALL, options: str = "") -> Contestant:
    """Return the service in *checkout*, under what its *name* says, with the *options* of a config.ini."""
    return Contestant(
        name,
        _launcher if name.endswith("launcher") else partial(_uwsgi, _WSGI),
        kinds,
        partial(_service_environment, checkout, options),
        source=checkout / "pacifica",
        python=Path(sys.executable),
    )


def _original() -> Contestant:
    # It does not know Range, nor the query that came before it.
    kinds = ALL - {"range"}
    command = partial(_uwsgi, _WSGI, program=ORIGINAL / "bin/uwsgi")
    source, python = ORIGINAL / "lib", ORIGINAL / "bin/python"
    return Contestant(ORIGINAL_UWSGI, command, kinds, _original_environment, source=source, python=python)


def _others() -> list[Contestant]:
    return [
        Contestant(NGINX, _nginx, ALL, conditional_head=True),
        Contestant(RCLONE, _rclone, ALL, conditional_head=True),
    ]


def _floors(seed: Path) -> list[Contestant]:
    under_uwsgi = {
        CHERRYPY_UWSGI: ("cherrypy_wsgi", _FLOOR_KINDS),
        WSGI_UWSGI: ("wsgi_application", _FLOOR_KINDS),
        # How much longer wrk takes for answers like the original's.
        LENGTHLESS_UWSGI: ("lengthless_application", frozenset(("GET",))),
    }
    commands = {name: partial(_uwsgi, f"benchmarks.floors:{called}") for name, (called, _) in under_uwsgi.items()}
    kinds = {name: asked for name, (_, asked) in under_uwsgi.items()}
    commands |= {CHERRYPY_LAUNCHER: partial(_floor, "cherrypy"), WSGI_LAUNCHER: partial(_floor, "wsgi")}
    environment = partial(_floor_environment, seed / str(SIZES["1 KiB"]))
    return [
        Contestant(name, command, kinds.get(name, _FLOOR_KINDS), environment, _SMALLEST, keeps_files=False)
        for name, command in commands.items()
    ]


def _service_environment(checkout: Path, options: str, home: Path) -> dict[str, str]:
    (home / "config.ini").write_text(f"{_NO_ACCESS_LOG}{options}")
    return {
        "PAI_BACKEND_TYPE": "posix",
        "PAI_PREFIX": str(home / "files"),
        "ARCHIVEINTERFACE_CONFIG": str(home / "config.ini"),
        "PYTHONPATH": str(checkout.absolute()),
    }


def _original_environment(home: Path) -> dict[str, str]:
    (home / "cherrypy.ini").write_text(_ORIGINAL_CHERRYPY)
    return {
        "PAI_BACKEND_TYPE": "posix",
        "PAI_PREFIX": str(home / "files"),
        "ARCHIVEINTERFACE_CPCONFIG": str(home / "cherrypy.ini"),
    }


def _floor_environment(files: Path, home: Path) -> dict[str, str]:
    return {"FLOOR_FILES": str(files), "PYTHONPATH": str(ROOT)}


def _uwsgi(module: str, home: Path, port: int, program: Path = _BIN / "uwsgi") -> list[str]:
    return [str(program), "--http-socket", f"127.0.0.1:{port}", "--module", module, *_UWSGI]


def _launcher(home: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "pacifica.archiveinterface", "-a", "127.0.0.1", "-p", str(port)]


def _floor(name: str, home: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.floors", name, str(port)]


def _nginx(home: Path, port: int) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(_NGINX.format(home=home, port=port, user=user))
    return [nginx_program(), "-e", str(home / "log"), "-c", str(home / "nginx.conf")]


def nginx_program() -> str:
    """Return the path of nginx, which lies where only root looks."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or "nginx"


def _rclone(home: Path, port: int) -> list[str]:
    return [str(_BIN / "rclone"), "serve", "webdav", str(home / "files"), "--addr", f"127.0.0.1:{port}"]
