"""The files under deploy/ do what they promise: a real nginx before a real uWSGI and before the own server."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO

import pytest
import requests

from pacifica.archiveinterface.commands.startup import INTERRUPTED
from pacifica.archiveinterface.config import Config
from tests.servers.launcher_test import await_partials
from tests.support import smuggling
from tests.support.crowd import MANY_HOSTS, ONE_HOST, crowd
from tests.support.needs import need
from tests.support.nginx import nginx_command
from tests.support.process_tree import descendants
from tests.support.processes import killed_at_last
from tests.support.restrictions import restricted
from tests.support.service import TIMEOUT, await_service, free_port
from tests.support.waiting import await_true

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent
UNITS = sorted(DEPLOY.glob("*.service"))
RECALLER = "pacifica-archiveinterface-recaller.service"
SCRUB = "pacifica-archiveinterface-scrub.service"
SERVING = [unit.name for unit in UNITS if unit.name not in (RECALLER, SCRUB)]
CONTENT = os.urandom(20_000_000)


class Deployment:
    """The shipped files with the ports and directories of one test in the place of those they name."""

    def __init__(self, home: Path, options: str = "head = standard", prefix: Path | None = None) -> None:
        self.home = home
        self.options = options  # of [http]
        self.prefix = prefix or home / "archive"
        self.prefix.mkdir(exist_ok=True)
        self.port = free_port()
        self.upload_port = free_port()
        self.public_port = free_port()
        self.url = f"http://127.0.0.1:{self.public_port}"
        self.pid = 0  # of the service
        self.has_uwsgi = False
        self.log = home / "service.log"
        self.site = ""

    def shipped(self, name: str) -> Path:
        """Return a copy of the file *name* for this deployment."""
        text = (DEPLOY / name).read_text()
        if self.has_uwsgi:
            text = text.replace("server 127.0.0.1:8080;  # uWSGI: 8081", "server 127.0.0.1:8081;")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        text = text.replace("127.0.0.1:8081", f"127.0.0.1:{self.upload_port}")
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.public_port};")
        for directory in ("/run", "/var/lib"):
            text = text.replace(f"{directory}/pacifica-archiveinterface", str(self.home))
        if "x-accel-redirect" in self.options:
            text = text.replace("# include /etc/nginx/nginx-sendfile", f"include {self.home}/nginx-sendfile")
        text = text.replace("/srv/archive", str(self.prefix)).replace("/etc/pacifica", str(self.home))
        text = text.replace("/opt/pacifica-archiveinterface/bin", str(BIN))
        copy = self.home / name
        copy.write_text(text)
        return copy

    @contextmanager
    def service(self, unit: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run what the systemd *unit* would, until the block is left; the block begins when the service answers."""
        self.has_uwsgi = "uwsgi" in unit
        command, environment = self.command(unit)
        try:
            with self.log.open("wb") as log, running(command, self.port, environment, log=log) as process:
                self.pid = process.pid
                yield process
        finally:
            print(self.log.read_text(errors="replace"))

    def reload(self, unit: str) -> int:
        """Do what ``systemctl reload`` of the *unit* does; return the first exit code that is not 0, or 0."""
        text = self.shipped(unit).read_text().replace("$MAINPID", str(self.pid))
        _, environment = self.command(unit)
        for command in re.findall("^ExecReload=(.*)$", text, re.MULTILINE):
            code = subprocess.run(shlex.split(command), env=environment, timeout=TIMEOUT).returncode
            if code:
                return code
        return 0

    def command(self, unit: str) -> tuple[list[str], dict[str, str]]:
        """Return the command of the systemd *unit*, with the unit's restrictions, and its environment."""
        (self.home / "config.ini").write_text(f"[http]\n{self.options}\n")
        shutil.copy(DEPLOY.parent / "server.conf", self.home)
        self.shipped("uwsgi.ini")
        variables = [line for line in self.shipped("archiveinterface.env").read_text().splitlines() if line[:1] != "#"]
        environment = dict(line.split("=", 1) for line in variables)
        text = self.shipped(unit).read_text()
        command = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)[0].replace("-p 8080", f"-p {self.port}").split()
        need(command[0])
        writable = [path for path in (self.home, self.prefix) if path.is_dir()]
        isolated = restricted(command, text, writable, self.home / "filter")
        return isolated, {**environment, "HOME": str(self.home), "PATH": os.environ["PATH"]}

    @contextmanager
    def nginx(self, site: str) -> Iterator[None]:
        """Run nginx with the *site*."""
        need("nginx")
        self.site = site
        self.shipped("nginx-sendfile.conf")
        shutil.copy("/etc/nginx/uwsgi_params", self.home)
        with running(nginx_command(self.home, self.shipped(site)), self.public_port, {}):
            yield


@contextmanager
def running(
    command: list[str], port: int, environment: dict[str, str], path: str = "/", log: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the block is left; the block begins when *port* answers HTTP for *path*."""
    with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
        try:
            await_service(process, f"http://127.0.0.1:{port}{path}")
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop *process* as systemd does. Kills it with all that it has started if it does not end."""
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        process.terminate()  # uWSGI's master loses a SIGTERM that comes while it still starts its workers
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    if process.poll() is None:
        for pid in [*descendants(process.pid), process.pid]:
            os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"{process.args!r} does not end")


@pytest.fixture(
    scope="module",
    params=[
        ("nginx.conf", "pacifica-archiveinterface.service"),
        ("nginx.conf", "pacifica-archiveinterface-uwsgi.service"),
        ("nginx-uwsgi.conf", "pacifica-archiveinterface-uwsgi.service"),
    ],
    ids=lambda pair: " + ".join(pair),
)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Each way to deploy the service behind nginx, running."""
    site, unit = request.param
    chosen = Deployment(tmp_path_factory.mktemp("deployment"))
    with chosen.service(unit), chosen.nginx(site):
        yield chosen


def _in_pieces() -> Iterator[bytes]:
    for start in range(0, len(CONTENT), 3_000_000):
        yield CONTENT[start : start + 3_000_000]


@pytest.mark.parametrize("body", [lambda: CONTENT, _in_pieces], ids=["Content-Length", "chunked"])
def test_a_large_file_comes_back_as_it_went(
    deployment: Deployment, body: Callable[[], bytes | Iterator[bytes]]
) -> None:
    answer = requests.put(f"{deployment.url}/1", data=body(), timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["total_bytes"]) == (201, str(len(CONTENT)))
    assert requests.get(f"{deployment.url}/1", timeout=TIMEOUT).content == CONTENT


def test_the_standard_head_passes_whole(deployment: Deployment) -> None:
    date = "Tue, 13 Sep 2016 22:34:19 GMT"
    requests.put(f"{deployment.url}/2", data=b"seven b", headers={"Last-Modified": date}, timeout=TIMEOUT)
    answer = requests.head(f"{deployment.url}/2", timeout=TIMEOUT)
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == answer.headers["X-Content-Length"] == "7"
    assert parsedate_to_datetime(answer.headers["Last-Modified"]) == parsedate_to_datetime(date)
    assert answer.headers["ETag"][0] == '"'


def test_files_are_moved_one_after_the_other_on_one_connection(deployment: Deployment) -> None:
    with requests.Session() as session:
        for file_id in ("3", "4"):
            source = deployment.prefix / f"incoming-{file_id}"
            source.write_text(file_id)
            answer = session.patch(f"{deployment.url}/{file_id}", json={"path": str(source)}, timeout=TIMEOUT)
            assert answer.json() == {"message": "File Moved Successfully"}
        assert [session.get(f"{deployment.url}/{name}", timeout=TIMEOUT).text for name in "34"] == ["3", "4"]


def test_the_service_runs_under_the_restrictions_of_its_unit(deployment: Deployment) -> None:
    process = Path(f"/proc/{deployment.pid}")
    lines = re.findall(r"^(CapEff|NoNewPrivs|Seccomp):\s*(\w+)$", (process / "status").read_text(), re.MULTILINE)
    assert dict(lines) == {"CapEff": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    assert re.search(r"^\S+ / \S+ ro,", (process / "mounts").read_text(), re.MULTILINE)


def test_errors_pass_as_json(deployment: Deployment) -> None:
    answer = requests.get(f"{deployment.url}/404", timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["status"]) == (404, "404 Not Found")


def test_500_silent_or_dripping_clients_delay_nobody(deployment: Deployment) -> None:
    requests.put(f"{deployment.url}/6", data=b"seven b", timeout=TIMEOUT)
    with crowd(("127.0.0.1", deployment.public_port)) as clients:
        for byte in b"GET":
            assert requests.get(f"{deployment.url}/6", timeout=TIMEOUT).content == b"seven b"
            clients.send(bytes([byte]))


@pytest.mark.parametrize("hosts", [ONE_HOST, MANY_HOSTS], ids=["one address", "many addresses"])
def test_500_uploads_that_drip_delay_no_other_request(deployment: Deployment, hosts: Sequence[str]) -> None:
    requests.put(f"{deployment.url}/6", data=b"seven b", timeout=TIMEOUT)
    with crowd(("127.0.0.1", deployment.public_port), hosts=hosts) as clients:
        clients.send(b"PUT /60 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(3):
            assert requests.get(f"{deployment.url}/6", timeout=TIMEOUT).content == b"seven b"
            assert requests.post(f"{deployment.url}/6", timeout=TIMEOUT).status_code == 200
            clients.send(b"x")


def test_the_service_sees_the_requests_that_nginx_meant(deployment: Deployment, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "passed.log"
    text = deployment.shipped(deployment.site).read_text()
    text = text.replace(f":{deployment.public_port};", f":{port};").replace(" 60s;", " 1s;")
    # More than is shipped: connections to the service that stay open, on which hidden requests could go on.
    text = text.replace("    least_conn;\n", "    least_conn;\n    keepalive 4;\n")
    text = text.replace("proxy_http_version 1.1;", 'proxy_http_version 1.1; proxy_set_header Connection "";')
    site = tmp_path / "site.conf"
    site.write_text(
        f"{smuggling.LOG_FORMAT}\nkeepalive_timeout 1s;\n{text}".replace("listen", f"access_log {log} passed;\nlisten")
    )
    shutil.copy("/etc/nginx/uwsgi_params", tmp_path)
    before = smuggling.served(deployment.log)
    with running(nginx_command(tmp_path, site), port, {}):
        smuggling.send_all(("127.0.0.1", port), smuggling.payloads())
        await_true(lambda: smuggling.passed(log).total() == (smuggling.served(deployment.log) - before).total())
    assert smuggling.passed(log) == smuggling.served(deployment.log) - before


@pytest.mark.parametrize("unit", SERVING)
def test_a_reload_takes_the_new_configuration_and_refuses_a_wrong_one(unit: str, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, "head = documented")
    (deployment.prefix / "1").write_bytes(b"x")
    url = f"http://127.0.0.1:{deployment.port}/1"
    with deployment.service(unit):
        await_true(lambda: _catches(deployment.pid, signal.SIGHUP))
        deployment.options = "head = perhaps"
        assert deployment.reload(unit) == 2
        assert requests.head(url, timeout=TIMEOUT).status_code == 204
        deployment.options = "head = standard"
        assert deployment.reload(unit) == 0
        await_true(lambda: requests.head(url, timeout=TIMEOUT).status_code == 200)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_unit_that_stays_can_be_reloaded_and_says_when_it_is_ready(unit: Path) -> None:
    stays = unit.name != SCRUB
    assert ("\nExecReload=/bin/sh -c 'kill -HUP $MAINPID'\n" in unit.read_text()) == stays
    assert ("\nType=notify\n" in unit.read_text()) == stays


def test_events_pass_at_once(deployment: Deployment) -> None:
    # With the launcher the answer goes on: what nginx collects would not come.
    with requests.get(f"{deployment.url}/-/recalls/events", stream=True, timeout=TIMEOUT) as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(line for line in lines if line.startswith("data: "))


@pytest.mark.parametrize("unit", SERVING)
def test_an_upload_in_flight_outlives_the_stop_of_its_service(unit: str, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    with deployment.service(unit) as process:
        client = http.client.HTTPConnection("127.0.0.1", deployment.port, TIMEOUT)
        client.putrequest("PUT", "/5")
        client.putheader("Content-Length", "8")
        client.endheaders(b"half")
        await_partials(deployment.prefix, 1)
        threading.Timer(1, client.send, [b" way"]).start()
        _stop(process)
        assert client.getresponse().status == 201
    assert (deployment.prefix / "5").read_text() == "half way"


@pytest.mark.parametrize("unit", SERVING)
def test_a_wrong_configuration_is_not_tried_again(unit: str, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.prefix.rmdir()
    with pytest.raises(AssertionError, match="has ended"), deployment.service(unit):
        pass


def test_the_recaller_works_until_it_is_stopped(tmp_path: Path) -> None:
    command, environment = Deployment(tmp_path).command(RECALLER)
    recaller = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    with killed_at_last(recaller) as process:
        # Without tape it has nothing to log: it is up when it has taken over the signals.
        await_true(lambda: _catches(process.pid, signal.SIGTERM))
        process.terminate()
        assert (process.wait(TIMEOUT), process.stderr.read() if process.stderr else "") == (0, "")


def test_a_recaller_with_a_wrong_configuration_ends_with_the_code_that_is_not_tried_again(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.prefix.rmdir()
    command, environment = deployment.command(RECALLER)
    assert subprocess.run(command, env=environment, timeout=TIMEOUT).returncode == 2
    assert "\nRestartPreventExitStatus=2\n" in (DEPLOY / RECALLER).read_text()


def test_a_scrub_that_finds_damage_makes_its_unit_fail_and_reports_it(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    command, environment = deployment.command(SCRUB)

    def scrub(*options: str) -> tuple[int, dict[str, object]]:
        ended = subprocess.run([*command, *options], env=environment, timeout=TIMEOUT, capture_output=True)
        report = json.loads((tmp_path / "scrub.json").read_text())
        assert report["began"] <= report["ended"] <= time.time()
        return ended.returncode, report

    (deployment.prefix / "1").write_bytes(CONTENT[:1000])
    assert scrub("--record")[0] == 0
    (deployment.prefix / "1").write_bytes(CONTENT[1000:2000])
    code, report = scrub()
    assert (code, report["exit_code"], report["counts"]) == (1, 1, {"damaged": 1})
    (accepted,) = re.findall(r"^SuccessExitStatus=(.*)$", (DEPLOY / SCRUB).read_text(), re.MULTILINE)
    assert accepted == str(INTERRUPTED)


def _catches(pid: int, number: signal.Signals) -> bool:
    [caught] = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(caught, 16) & 1 << number - 1)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_waits_longer_than_the_service_drains(unit: Path) -> None:
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.MULTILINE)
    (mercy,) = re.findall(r"^worker-reload-mercy = (\d+)$", (DEPLOY / "uwsgi.ini").read_text(), re.MULTILINE)
    assert int(patience) > max(int(mercy), Config().http.drain_seconds)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_stopped_before_the_one_that_replaces_it_starts(unit: Path) -> None:
    settings = re.findall(r"^(Conflicts|After)=(.*)$", unit.read_text(), re.MULTILINE)
    after = {name for key, names in settings if key == "After" for name in names.split()}
    assert {name for key, names in settings if key == "Conflicts" for name in names.split()} <= after


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_service_may_write_logs_outside_the_archive(unit: Path) -> None:
    assert "\nLogsDirectory=pacifica-archiveinterface\n" in unit.read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_all_units_and_the_administrator_have_one_place_for_the_database_of_recalls(unit: Path) -> None:
    assert "\nStateDirectory=pacifica-archiveinterface\n" in unit.read_text()
    assert "\nSTATE_DIRECTORY=/var/lib/pacifica-archiveinterface\n" in (DEPLOY / "archiveinterface.env").read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_all_units_are_hardened_alike(unit: Path) -> None:
    protections = r"^(?:Protect|Restrict|Private|NoNew|Capability|System|Lock)\w+=.*$"
    sets = {tuple(re.findall(protections, other.read_text(), re.MULTILINE)) for other in (unit, *UNITS)}
    assert len(sets) == 1


def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    need("systemd-analyze")
    deployment = Deployment(tmp_path)
    copies = [str(deployment.shipped(path.name)) for path in (*UNITS, *DEPLOY.glob("*.timer"))]
    verdict = subprocess.run(["systemd-analyze", "verify", *copies], capture_output=True, text=True, timeout=TIMEOUT)
    assert (verdict.returncode, verdict.stderr) == (0, "")


def test_systemd_finds_the_units_hardened() -> None:
    need("systemd-analyze")
    # The threshold is an exposure of 2.0.
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", *map(str, UNITS)]
    verdict = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert verdict.returncode == 0, verdict.stdout
    assert verdict.stdout.count("Overall exposure level") == len(UNITS)
