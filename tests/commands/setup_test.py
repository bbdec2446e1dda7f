"""`setup` writes files that the tools they are for understand, and commands that install a service which runs."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from pacifica.archiveinterface.commands.admin import cmd
from pacifica.archiveinterface.commands.host_files import Host, HostFile, host_files
from pacifica.archiveinterface.config import get_config
from pacifica.archiveinterface.exception import ConfigurationError
from tests.support.mounts import require_mounts
from tests.support.needs import PATH, need
from tests.support.page import typed
from tests.support.process_tree import descendants
from tests.support.processes import BIN
from tests.support.service import TIMEOUT, await_service, free_port

COMMAND = str(BIN / "pacifica-archiveinterface-cmd")
UNIT = "pacifica-archiveinterface"
# A host of its own, as far as the commands go: what they write is gone with the process.
OWN_HOST = """
set -euo pipefail
cp -a /etc {home}/etc
mount --bind {home}/etc /etc
for directory in /srv /run /var/lib; do mount -t tmpfs tmpfs $directory; done
mkdir -p /var/lib/nginx /run/pacifica-archiveinterface
systemctl() {{ echo "systemctl $*"; }}
nginx() {{ unshare --net nginx "$@"; }}
{commands}
systemd-analyze verify /etc/systemd/system/{unit}.service /etc/systemd/system/*-scrub.timer
logrotate --debug /etc/logrotate.d/{name}
stat -c '%a %U:%G %n' /etc/pacifica/* /srv/data
set -a
. /etc/pacifica/archiveinterface.env
exec $(sed -n 's/^ExecStart=//p' /etc/systemd/system/{unit}.service)
"""


class Ended(NamedTuple):
    """What a command has left: its exit code and what it has printed."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return what runs `setup`, away from any terminal."""
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield lambda *arguments: Ended(cmd(["setup", *map(str, arguments)]), *capsys.readouterr())


def commands_in(printed: str) -> str:
    """Return the commands that `setup` has *printed*, after an empty line."""
    return printed.partition("\n\n")[2]


def two_free_ports() -> int:
    """Return a port that nobody uses, and neither the next one, which uWSGI has for uploads."""
    while True:
        port = free_port()
        with socket.socket() as probe, suppress(OSError, OverflowError):
            probe.bind(("127.0.0.1", port + 1))
            return port


@pytest.mark.parametrize("server", ["launcher", "uwsgi"])
def test_the_commands_install_a_service_that_runs(server: str, run: Run, tmp_path: Path) -> None:
    require_mounts()
    need("unshare", "nginx", "systemd-analyze", "useradd", "logrotate", BIN / "uwsgi")
    port, output = two_free_ports(), tmp_path / "files"
    options = ["--user", "keeper", "--port", str(port), "--server", server, "--nginx", "archive.example.org"]
    options += ["--set", "archive.delete=refuse", "--set", "http.sendfile=x-accel-redirect"]
    written = run("--prefix", "/srv/data", *options, "--output", output)
    assert written.returncode == 0, written.stderr
    unit = UNIT if server == "launcher" else f"{UNIT}-{server}"
    script = OWN_HOST.format(home=tmp_path, name=UNIT, unit=unit, commands=commands_in(written.stdout))
    log = tmp_path / "log"
    with log.open("w") as screen:
        host = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", script], env={"PATH": PATH}, stdout=screen, stderr=screen
        )
    try:
        await_service(host, f"http://127.0.0.1:{port}/")
        assert requests.put(f"http://127.0.0.1:{port}/5", data=b"five", timeout=TIMEOUT).status_code == 201
        assert requests.delete(f"http://127.0.0.1:{port}/5", timeout=TIMEOUT).status_code == 403
    finally:
        for process in [host.pid, *descendants(host.pid)]:
            with suppress(ProcessLookupError):  # uWSGI's workers end with their master
                os.kill(process, signal.SIGKILL)
        host.wait(TIMEOUT)
    shown = log.read_text()
    assert "640 root:keeper /etc/pacifica/config.ini" in shown
    assert "750 keeper:keeper /srv/data" in shown
    assert f"systemctl enable --now {unit} {UNIT}-scrub.timer" in shown
    assert "include /etc/nginx/nginx-sendfile.conf" in (output / "nginx.conf").read_text()
    assert not Path("/srv/data").exists()


@pytest.fixture
def shown(run: Run, tmp_path: Path) -> dict[str, str]:
    """The files of a host on which nothing is as in deploy/, by their names."""
    options = ["--user", "nobody", "--address", "127.0.0.2", "--port", "8123", "--nginx", "archive.example.org"]
    assert run("--prefix", "/data", *options, "--output", tmp_path).returncode == 0
    return {path.name: path.read_text() for path in tmp_path.iterdir()}


def test_nothing_in_the_files_is_that_of_another_host(shown: dict[str, str]) -> None:
    others = ["/srv/archive", "8080", "127.0.0.1", "archive.example.com", "=pacifica\n", "su pacifica", "/opt/pacifica"]
    assert [(name, text) for name in shown for text in others if text in shown[name]] == []
    assert f"Group={_group_of('nobody')}\n" in shown[f"{UNIT}.service"]


def _group_of(user: str) -> str:
    return subprocess.run(["id", "-gn", user], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(("backend", "prefix"), [("s3", "s3://bucket/files"), ("hpss", "/hpss/archive")])
def test_the_unit_of_an_archive_elsewhere_names_no_directory(
    backend: str, prefix: str, run: Run, tmp_path: Path
) -> None:
    need("systemd-analyze")
    assert run("--backend", backend, "--prefix", prefix, "--output", tmp_path).returncode == 0
    unit = tmp_path / f"{UNIT}.service"
    assert not re.search(r"^(RequiresMountsFor|ReadWritePaths)=.|empty directory", unit.read_text(), re.MULTILINE)
    verdict = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=TIMEOUT)
    assert (verdict.returncode, verdict.stderr) == (0, "")
    assert f"PAI_BACKEND_TYPE={backend}\nPAI_PREFIX={prefix}\n" in (tmp_path / "archiveinterface.env").read_text()


def test_the_command_of_the_manual_writes_the_files(tmp_path: Path) -> None:
    places = {"/opt/pacifica-archiveinterface/bin": str(BIN), "archive-setup": str(tmp_path)}
    printed = typed("docs/installation.md", "setup", 8080, os.environ, places=places)
    assert f"install -D -m 644 {tmp_path}/nginx.conf /etc/nginx/conf.d/{UNIT}.conf\n" in printed
    assert {"config.ini", "nginx.conf", f"{UNIT}.service"} < {path.name for path in tmp_path.iterdir()}


def test_options_are_set_in_their_sections(run: Run, tmp_path: Path) -> None:
    options = ["posix.use_id2filename=true", "archive.digests=sha-256 adler32", "s3.region=eu-1"]
    options += ["archive.move_roots=/srv/incoming"]
    given = [word for option in options for word in ("--set", option)]
    assert run(*given, "--output", tmp_path).returncode == 0
    config = get_config(str(tmp_path / "config.ini"))
    assert config.posix.use_id2filename
    assert config.archive.digests == ("sha-256", "adler32")
    assert config.s3.region == "eu-1"
    assert "\nReadWritePaths=/srv/archive /srv/incoming\n" in (tmp_path / f"{UNIT}.service").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prefix", "archive"], "--prefix 'archive' is not an absolute path or a URL"),
        (["--prefix", "/srv/a b"], "--prefix '/srv/a b' is not"),
        (["--prefix", "s3://bucket/x"], "is not a place of the backend posix"),
        (["--backend", "s3"], "is not a place of the backend s3"),
        (["--backend", "tape"], "--type 'tape' is not"),
        (["--user", "a b"], "--user 'a b' is not the name of an account"),
        (["--address", "here"], "--address 'here' is not an IP address"),
        (["--port", "0"], "--port '0' is not a port"),
        (["--port", "65535", "--server", "uwsgi"], "--port 65535: uWSGI listens on the next port"),
        (["--server", "apache"], "--server 'apache' is not launcher or uwsgi"),
        (["--nginx", "a;b"], "--nginx 'a;b' is not a host name"),
        (["--set", "delete=refuse"], "--set 'delete=refuse' is not section.option=value"),
        (["--set", "archive.delete=no"], "--set: [archive] delete = 'no' is not allow or refuse"),
        (["--set", "archiv.delete=refuse"], "--set: there is no section [archiv]"),
        (["-c", "config.ini"], "--config has no effect"),
    ],
)
def test_an_answer_that_cannot_be_used_is_named(arguments: list[str], message: str, run: Run, tmp_path: Path) -> None:
    refused = run(*arguments, "--output", tmp_path / "files")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert message in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_files_that_exist_are_replaced_only_by_force(run: Run, tmp_path: Path) -> None:
    (tmp_path / "server.conf").write_text("mine")
    refused = run("--output", tmp_path)
    assert refused.returncode == 2
    assert "server.conf; --force replaces" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["server.conf"]
    assert run("--output", tmp_path, "--force").returncode == 0
    assert (tmp_path / "server.conf").read_text() != "mine"


def test_who_cannot_read_the_files_cannot_read_their_passwords(run: Run, tmp_path: Path) -> None:
    run("--output", tmp_path)
    assert (tmp_path / "config.ini").stat().st_mode & 0o777 == 0o640


def test_a_terminal_is_asked_for_what_no_option_says(tmp_path: Path) -> None:
    terminal, its_end = pty.openpty()
    command = [COMMAND, "setup", "--prefix", "/data", "--user", "nobody", "--nginx", "", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdin=its_end, stdout=subprocess.PIPE, text=True) as process:
        os.write(terminal, b"\n127.0.0.300\n127.0.0.3\n8123\n\n")
        printed, _ = process.communicate(timeout=TIMEOUT)
    for end in (terminal, its_end):
        os.close(end)
    assert process.returncode == 0
    assert re.findall(r"\[(.*?)\]: ", printed) == ["posix", "127.0.0.1", "127.0.0.1", "8080", "launcher"]
    assert "'127.0.0.300' is not an IP address" in printed
    assert "-a 127.0.0.3 -p 8123 " in (tmp_path / f"{UNIT}.service").read_text()


def test_a_file_that_has_not_what_is_to_be_replaced_is_refused() -> None:
    host = Host("posix", "/data", "a", "a", "::1", 1, "launcher", 1, "", {})
    with pytest.raises(ConfigurationError, match=r"uwsgi\.ini of this installation has no 'User=root'"):
        HostFile("uwsgi.ini", "/etc/uwsgi.ini", 0o640, ("User=root\n",)).text(host)


def test_an_address_of_version_6_is_written_as_each_file_wants_it() -> None:
    host = Host("posix", "/data", "a", "a", "::1", 1, "uwsgi", 1, "x", {})
    texts = {file.name: file.text(host) for file in host_files(host)}
    assert "\nhttp-socket = [::1]:1\nhttp-socket = [::1]:2\n" in texts["uwsgi.ini"]
    assert re.findall(" server (.*);", texts["nginx.conf"]) == ["[::1]:1", "[::1]:2"]
    assert f"ExecStart={sys.prefix}/bin/uwsgi " in texts[f"{UNIT}-uwsgi.service"]


def test_a_place_that_the_unit_hides_is_warned_of(run: Run, tmp_path: Path) -> None:
    written = run("--prefix", "/home/ada/archive", "--output", tmp_path / "two words")
    assert written.returncode == 0
    assert "the service cannot use /home/ada/archive: its unit hides" in written.stderr
    assert f"'{tmp_path}/two words/config.ini'" in written.stdout
