"""The servers that docs/servers.md names, each as its command with the WSGI module."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.support.needs import PATH, need
from tests.support.processes import BIN, UNMEASURED
from tests.support.service import await_service, free_port

MODULE = "pacifica.archiveinterface.wsgi"
APPLICATION = f"{MODULE}:application"
PYUWSGI = Path(sys.prefix) / "pyuwsgi"  # apart: its commands have the names of uWSGI's

_APACHE = """
ServerName localhost
ServerRoot {home}
Listen 127.0.0.1:{port}
PidFile {home}/apache.pid
ErrorLog /dev/stderr
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {wsgi}
WSGIRestrictEmbedded On
WSGISocketPrefix {home}/wsgi
WSGIDaemonProcess archive processes=1 threads=8 python-home={python} lang=C.UTF-8
WSGIProcessGroup archive
WSGIApplicationGroup %{{GLOBAL}}
WSGIChunkedRequest On
AllowEncodedSlashes NoDecode
WSGIScriptAlias / {home}/archive.wsgi
<Directory {home}>
    Require all granted
</Directory>
"""


class WsgiServer(NamedTuple):
    """How a server is started; *takes_chunked*: it decodes chunked bodies, and tells a broken one."""

    name: str
    takes_chunked: bool = True

    def command(self, port: int, home: Path) -> list[str]:
        """Return the command that serves on *port*; files for it go into *home*."""
        place = f"127.0.0.1:{port}"
        uwsgi = ["--http-socket", place, "--master", "-p", "2", "--enable-threads", "--module", MODULE]
        gunicorn = [_program("gunicorn"), "-b", place, "-w", "2", "--timeout", "0", APPLICATION]
        commands = {
            "uwsgi": lambda: [_program("uwsgi"), *uwsgi],
            "pyuwsgi": lambda: [sys.executable, _found(str(PYUWSGI / "bin/pyuwsgi")), *uwsgi],
            "gunicorn sync": lambda: [*gunicorn, "-k", "sync"],
            "gunicorn gthread": lambda: [*gunicorn, "-k", "gthread", "--threads", "8"],
            "waitress": lambda: [_program("waitress-serve"), f"--listen={place}", APPLICATION],
            "mod_wsgi": lambda: _apache(port, home),
        }
        return commands[self.name]()

    @contextmanager
    def running(self, prefix: Path, log: Path) -> Iterator[int]:
        """Serve the files below *prefix*, and give the port, until the block is left; standard error is *log*."""
        port = free_port()
        # Measured by coverage, threads that mod_wsgi's daemon process starts do not run, and uploads hang.
        environment = {**os.environ, **UNMEASURED, "PAI_PREFIX": str(prefix)}
        if self.name == "pyuwsgi":
            environment["PYTHONPATH"] = str(PYUWSGI)
        with TemporaryDirectory() as home, log.open("ab") as errors:
            environment["HOME"] = home  # gunicorn makes a directory there
            command = self.command(port, Path(home))
            with subprocess.Popen(command, env=environment, start_new_session=True, stderr=errors) as process:
                try:
                    await_service(process, f"http://127.0.0.1:{port}/")
                    yield port
                finally:
                    with suppress(ProcessLookupError):  # it may have ended by itself
                        os.killpg(process.pid, signal.SIGKILL)


SERVERS = [
    WsgiServer("uwsgi", takes_chunked=False),
    WsgiServer("pyuwsgi", takes_chunked=False),
    WsgiServer("gunicorn sync"),
    WsgiServer("gunicorn gthread"),
    WsgiServer("waitress"),
    WsgiServer("mod_wsgi"),
]


def _program(name: str) -> str:
    return _found(str(BIN / name))


def _found(path: str) -> str:
    need(path)
    return path


def _apache(port: int, home: Path) -> list[str]:
    need("apache2", BIN / "mod_wsgi-express")
    found = subprocess.run([BIN / "mod_wsgi-express", "module-location"], check=True, capture_output=True, text=True)
    (home / "archive.wsgi").write_text(f"from {MODULE} import application\n")
    configuration = home / "apache.conf"
    configuration.write_text(
        _APACHE.format(
            home=home,
            port=port,
            modules="/usr/lib/apache2/modules",
            wsgi=found.stdout.strip(),
            python=sys.prefix,
        )
    )
    apache = [shutil.which("apache2", path=PATH) or "apache2", "-DFOREGROUND", "-f", str(configuration)]
    if os.geteuid():
        return apache
    # mod_wsgi refuses to run as root. In a namespace of its own, root has the number of another user.
    account = pwd.getpwnam("www-data")
    return ["unshare", "--user", f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}", *apache]
