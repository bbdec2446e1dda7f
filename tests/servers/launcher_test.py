"""The launcher as a real process: starting, refusing to start, stopping, dying."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.forked import forked_launcher, refusal_of_main
from tests.support.processes import LAUNCHER, Server, launcher, refusal
from tests.support.service import TIMEOUT, stored_files

DEPLOYED = """
[global]
log.screen: False
log.access_file: '{tmp}/access.log'
log.error_file: '{tmp}/error.log'
server.socket_host: '127.0.0.1'
server.socket_port: 9
server.max_request_body_size: 0
server.socket_timeout: 60
response.timeout: 3600

[/]
request.dispatch: cherrypy.dispatch.MethodDispatcher()
tools.response_headers.on: True
tools.response_headers.headers: [('Content-Type', 'application/json')]
"""


def begin_upload(server: Server, file_id: int, length: int = 10) -> socket.socket:
    """Send the head and five bytes of an upload, and wait until the service has begun with it."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), TIMEOUT)
    connection.sendall(f"PUT /{file_id} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n01234".encode())
    return connection


def await_partials(prefix: Path, count: int) -> list[Path]:
    """Wait until *count* uploads are in flight and return their files."""
    deadline = time.monotonic() + TIMEOUT
    while len(found := list((prefix / ".partial").glob("*"))) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], str]:
    """Return what writes a configuration file and returns its path."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_it_serves_with_no_configuration_at_all(tmp_path: Path) -> None:
    with launcher(tmp_path, "-a", "127.0.0.1") as server:
        assert requests.put(f"{server.url}/12345", data=b"x" * 1000).status_code == 201
        assert requests.get(f"{server.url}/12345").content == b"x" * 1000
        assert requests.get(f"{server.url}/404").json()["status"] == "404 Not Found"
        assert server.stop() == 0
    assert (tmp_path / "12345").stat().st_size == 1000


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pacifica.archiveinterface", "--version"]
    assert subprocess.run(command, capture_output=True, check=True, timeout=TIMEOUT).stdout.count(b".") == 2


@pytest.mark.parametrize("separator", [":", " ="])
def test_the_cherrypy_file_that_sites_deploy_is_taken_as_it_is(
    tmp_path: Path, written: Callable[[str, str], str], separator: str
) -> None:
    text = "\n".join(line.replace(":", separator, 1) for line in DEPLOYED.format(tmp=tmp_path).splitlines())
    prefix = tmp_path / "archive"
    prefix.mkdir()
    with forked_launcher(prefix, "--cherrypy-config", written("server.conf", text)) as server:
        assert ":9" not in server.url  # the command line beats the file
        requests.put(f"{server.url}/7", data=b"x")
        assert requests.get(f"{server.url}/7").headers["Content-Type"] == "application/octet-stream"
        assert requests.head(f"{server.url}/7").headers["Content-Type"] == "application/json"
        assert requests.get(f"{server.url}/8").headers["Content-Type"] == "application/json"
        # The file names a dispatcher, one that would look among the attributes of Python objects.
        assert requests.put(f"{server.url}/__class__", data=b"y").status_code == 201
        assert requests.get(f"{server.url}/__class__").content == b"y"
    assert b"PUT /7" in (tmp_path / "access.log").read_bytes()


@pytest.mark.parametrize("section", ["/", "global"])
def test_a_site_s_tools_work_but_for_those_that_would_change_the_bytes(
    tmp_path: Path, written: Callable[[str, str], str], section: str
) -> None:
    settings = f"""[{section}]
tools.response_headers.on: True
tools.response_headers.headers: [('X-Site', 'here')]
tools.gzip.on: True
tools.gzip.mime_types: ['*/*']
request.process_request_body: True
request.show_tracebacks: True
"""
    with forked_launcher(tmp_path, "--cherrypy-config", written("server.conf", settings)) as server:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        put = requests.put(f"{server.url}/7", data=b"a=b", headers=form)
        got = requests.get(f"{server.url}/7?x=1", headers={"Accept-Encoding": "gzip"})
        missing = requests.get(f"{server.url}/8")
        assert (put.status_code, got.content, missing.status_code) == (201, b"a=b", 404)
        assert [answer.headers["X-Site"] for answer in (put, got)] == ["here", "here"]
        assert "Content-Encoding" not in got.headers
        assert missing.json()["traceback"] == ""


TOOLS = """[/]
tools.json_in.on: True
tools.json_in.force: False
tools.etags.on: True
tools.proxy.on: True
tools.proxy.remote: ''
tools.proxy.base: 'http://site'
engine.autoreload.on: False
checker.on: False
"""


def test_tools_that_look_at_body_or_entity_tag_work(tmp_path: Path, written: Callable[[str, str], str]) -> None:
    log = tmp_path / "access.log"
    settings = f"[global]\nlog.access_file: '{log}'\n{TOOLS}"
    prefix = tmp_path / "archive"
    prefix.mkdir()
    with forked_launcher(prefix, "--cherrypy-config", written("server.conf", settings)) as server:
        forged = {"X-Forwarded-For": "6.6.6.6", "Content-Type": "application/json"}
        assert requests.put(f"{server.url}/7", data=b"{}", headers=forged).status_code == 201
        got = requests.get(f"{server.url}/7", headers=forged)
        assert got.content == b"{}"
        assert got.raw.headers.getlist("ETag") == [got.headers["ETag"]]
        patched = requests.patch(f"{server.url}/8", json={"path": str(prefix / "no-such")}, headers=forged)
        assert patched.status_code == 404
    assert "6.6.6.6" not in log.read_text()  # tools.proxy.remote is empty: the header is not believed


@pytest.mark.parametrize(
    "text", ["[/7/]\ntools.gzip.on: False\n", "[global]\nengine.autoreload.on: True\n", "[/]\nchecker.on: True\n"]
)
def test_a_setting_that_would_have_no_effect_is_refused(
    tmp_path: Path, written: Callable[[str, str], str], text: str
) -> None:
    line = refusal_of_main("--prefix", str(tmp_path), "--cherrypy-config", written("server.conf", text))
    assert text.split()[0] in line


def test_what_clients_send_is_escaped_and_bounded_in_the_log(
    tmp_path: Path, written: Callable[[str, str], str]
) -> None:
    prefix = tmp_path / "archive"
    prefix.mkdir()
    with forked_launcher(prefix, "-c", written("config.ini", "[archive]\nverify_reads = true\n")) as server:
        url = f"{server.url}/x%1b]0;%0aFAKE%0d"
        assert requests.put(url, data=b"x").status_code == 201
        (prefix / "x\x1b]0;\nFAKE\r").chmod(0o644)
        (prefix / "x\x1b]0;\nFAKE\r").write_bytes(b"y")
        before = len(server.stderr)
        answer = requests.get(f"{url}?{'x' * 30_000}", headers={"X-Request-Id": "mine"})
        log = server.stderr
    assert answer.status_code == 500
    assert "request mine, " in log
    assert "is damaged" in log
    assert "\x1b" not in log
    assert "\r" not in log
    assert not any(line.startswith("FAKE") for line in log.splitlines())
    assert len(log) - before < 20_000


def test_a_misspelt_section_of_old_files_is_a_warning_that_names_the_right_one(
    tmp_path: Path, written: Callable[[str, str], str]
) -> None:
    config, prefix = (
        written("config.ini", "[posix]\nuse_id2filename = true\n[hms_sideband]\nuser = x\n"),
        tmp_path / "a",
    )
    prefix.mkdir()
    with forked_launcher(prefix, "-c", config) as server:
        requests.put(f"{server.url}/12345", data=b"x")
        assert "[hms_sideband]" in server.stderr
        assert "[hsm_sideband]" in server.stderr
    assert (prefix / "39" / "3039").exists()


def test_no_section_is_suggested_for_one_that_resembles_none(
    tmp_path: Path, written: Callable[[str, str], str]
) -> None:
    with forked_launcher(tmp_path, "-c", written("config.ini", "[quux]\nregion = x\n")) as server:
        assert "unknown section [quux] is ignored\n" in server.stderr


MALFORMED = [
    "[hsm_sideband]\npassword S3CRET\n",
    "[hsm_sideband]\nuser = x\nS3CRET\n",
    "password = S3CRET\n",
    "[hsm_sideband]\npassword = S3CRET\npassword = S3CRET2\n",
    "[hsm_sideband]\npassword = S3CRET\n[hsm_sideband]\n",
    "[hsm_sideband]\npass word = S3CRET\n",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_line_is_named_and_not_shown(text: str, written: Callable[[str, str], str]) -> None:
    said = refusal_of_main("-c", written("config.ini", text), "--prefix", "/tmp")
    assert "config.ini: " in said
    assert "S3CRET" not in said


@pytest.mark.parametrize(
    "text",
    [
        "server.ssl_private_key_password S3CRET",
        "server.ssl_private_key: S3CRET-",
        "server.ssl_private_key: '%S3CRET'",
        "server.nothing: 'S3CRET'",
        "S3CRET",
    ],
)
def test_a_wrong_setting_of_cherrypy_is_named_and_not_shown(text: str, written: Callable[[str, str], str]) -> None:
    said = refusal_of_main("--cherrypy-config", written("server.conf", f"[global]\n{text}\n"), "--prefix", "/tmp")
    assert "server.conf: " in said
    assert "S3CRET" not in said


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ("server.socket_port: json", "server.socket_port = json is not a number"),
        ("server.thread_pool: 'ten'", "server.thread_pool = 'ten' is not a number"),
        ("log.screen: 'no'", "log.screen = 'no' is not True or False"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_shown_as_it_was_written(
    setting: str, shown: str, written: Callable[[str, str], str]
) -> None:
    said = refusal_of_main("--cherrypy-config", written("server.conf", f"[global]\n{setting}\n"), "--prefix", "/tmp")
    assert said.endswith(f"server.conf: [global] {shown}")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("log.access_file: '{missing}/access.log'", "{missing}/access.log"),
        ("log.error_file: '{missing}/error.log'", "{missing}/error.log"),
        ("server.ssl_certificate: '{missing}'\nserver.ssl_private_key: '{missing}'", "server.ssl_certificate"),
        ("server.ssl_certificate: '/dev/null'\nserver.ssl_private_key: '/dev/null'", "server.ssl_certificate"),
        (
            "server.ssl_module: 'pyopenssl'\nserver.ssl_certificate: '{missing}'\nserver.ssl_private_key: '{missing}'",
            "server.ssl_module",
        ),
    ],
)
def test_files_of_logs_and_tls_that_cannot_be_opened_end_the_start(
    setting: str, named: str, tmp_path: Path, written: Callable[[str, str], str]
) -> None:
    missing = tmp_path / "missing"
    text = f"[global]\n{setting.format(missing=missing)}\n"
    said = refusal_of_main("--cherrypy-config", written("server.conf", text), "--prefix", str(tmp_path))
    assert named.format(missing=missing) in said


def test_the_environment_names_backend_prefix_and_files(tmp_path: Path, written: Callable[[str, str], str]) -> None:
    environment = {
        "PAI_BACKEND_TYPE": "no-such",
        "PAI_PREFIX": "/proc/nonexistent",
        "ARCHIVEINTERFACE_CONFIG": written("config.ini", "[http]\nhead = standard\n"),
        "ARCHIVEINTERFACE_CPCONFIG": written("server.conf", "[global]\nserver.max_request_body_size: 10\n"),
    }
    with forked_launcher(tmp_path, env=environment) as server:  # -t and --prefix on the command line win
        assert requests.put(f"{server.url}/7", data=b"x" * 10).status_code == 201
        assert requests.put(f"{server.url}/8", data=b"x" * 11).status_code == 413
        assert requests.head(f"{server.url}/7").status_code == 200
    assert "no-such" in refusal_of_main(PAI_BACKEND_TYPE="no-such", PAI_PREFIX=str(tmp_path))
    missing = str(tmp_path / "missing")
    assert missing in refusal_of_main(PAI_BACKEND_TYPE="POSIX", PAI_PREFIX=missing)


def test_an_empty_variable_names_no_file(tmp_path: Path) -> None:
    with forked_launcher(tmp_path, env={"ARCHIVEINTERFACE_CONFIG": "", "ARCHIVEINTERFACE_CPCONFIG": ""}) as server:
        assert requests.put(f"{server.url}/7", data=b"x").status_code == 201


def test_without_a_prefix_it_warns(tmp_path: Path) -> None:
    assert "file exists" not in refusal_of_main("-t", "posix", "-c", str(tmp_path / "none"), "--prefix", str(tmp_path))
    process = subprocess.Popen(
        [LAUNCHER, "-p", "0"], stderr=subprocess.PIPE, env={**os.environ, "HOME": "/nonexistent"}
    )
    assert process.stderr
    try:
        assert b"/tmp" in process.stderr.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[posix]\nuse_id2filename = perhaps\n", ["[posix]", "use_id2filename", "'perhaps'", "true or false"]),
        ("[archive]\noverwrit = refuse\n", ["[archive]", "'overwrit'", "overwrite"]),
        ("[archive]\noverwrite = never\n", ["[archive]", "overwrite", "'never'", "replace or refuse"]),
        ("[archive]\nmove_roots = here\n", ["[archive]", "move_roots", "'here'", "absolute"]),
        ("[http]\ndrain_bytes = -1\n", ["[http]", "drain_bytes", "'-1'"]),
        ("[http]\ndrain_seconds = soon\n", ["[http]", "drain_seconds", "'soon'"]),
        ("[hsm_sideband]\nport = 70000\n", ["[hsm_sideband]", "port", "'70000'"]),
        ("overwrite = refuse\n", ["section"]),
        ("[archive]\noverwrite = refuse\noverwrite = replace\n", ["overwrite"]),
    ],
)
def test_a_wrong_option_is_named(
    tmp_path: Path, written: Callable[[str, str], str], text: str, words: list[str]
) -> None:
    line = refusal_of_main("--prefix", str(tmp_path), "-c", written("config.ini", text))
    assert all(word in line for word in [*words, "config.ini"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[global]\nserver.socket_prt: 80\n", ["server.socket_prt"]),
        ("[global]\nsocket_port: 80\n", ["socket_port"]),
        ("[global]\nserver.socket_port: 'eighty'\n", ["server.socket_port", "eighty"]),
        ("[global]\nserver.socket_port: eighty\n", ["server.socket_port", "eighty"]),
        ("[global]\nserver.socket_port 80 =\n", ["server.socket_port"]),
        ("server.socket_port: 80\n", ["section"]),
    ],
)
def test_a_wrong_cherrypy_setting_is_named(
    tmp_path: Path, written: Callable[[str, str], str], text: str, words: list[str]
) -> None:
    line = refusal_of_main("--prefix", str(tmp_path), "--cherrypy-config", written("server.conf", text))
    assert all(word in line for word in [*words, "server.conf"])


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    missing, file = str(tmp_path / "missing"), tmp_path / "file"
    file.write_bytes(b"\xff\xfe")
    assert missing in refusal("-p", "0", "--prefix", missing)
    assert "not a directory" in refusal_of_main("--prefix", str(file))
    assert missing in refusal_of_main("--prefix", str(tmp_path), "-c", missing)
    assert missing in refusal_of_main("--prefix", str(tmp_path), "--cherrypy-config", missing)
    assert "UTF-8" in refusal_of_main("--prefix", str(tmp_path), "-c", str(file))
    assert "is a directory" in refusal_of_main("--prefix", str(tmp_path), "-c", str(tmp_path))
    assert "posix" in refusal_of_main("--prefix", str(tmp_path), "-t", "tape")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with forked_launcher(tmp_path) as server:
        port = server.url.rpartition(":")[2]
        assert f"127.0.0.1:{port}: address already in use" in refusal_of_main("--prefix", str(tmp_path), "-p", port)


def test_a_stop_lets_requests_in_flight_finish(tmp_path: Path) -> None:
    (tmp_path / "8").write_bytes(os.urandom(1 << 25))
    with forked_launcher(tmp_path) as server:
        upload = begin_upload(server, 7)
        await_partials(tmp_path, 1)
        download = requests.get(f"{server.url}/8", stream=True, timeout=TIMEOUT)
        server.process.send_signal(signal.SIGTERM)
        await_closed_port(server)
        upload.sendall(b"56789")
        assert upload.recv(65536).startswith(b"HTTP/1.1 201 ")
        assert b"".join(download.iter_content(1 << 16)) == (tmp_path / "8").read_bytes()
        assert server.process.wait(TIMEOUT) == 0
    assert (tmp_path / "7").read_bytes() == b"0123456789"


def await_closed_port(server: Server) -> None:
    """Wait until new requests are refused."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            if requests.get(server.url, timeout=TIMEOUT).status_code == 503:
                return
        except requests.ConnectionError:
            return
        assert time.monotonic() < deadline


def test_a_stop_waits_for_no_request_for_ever(tmp_path: Path, written: Callable[[str, str], str]) -> None:
    (tmp_path / "8").write_bytes(os.urandom(1 << 25))
    with forked_launcher(tmp_path, "-c", written("config.ini", "[http]\ndrain_seconds = 1\n")) as server:
        upload = begin_upload(server, 7)
        download = begin_download(server, 8)
        await_partials(tmp_path, 1)
        assert server.stop() == 0
        upload.close()
        download.close()
    assert not (tmp_path / "7").exists()
    assert list((tmp_path / ".partial").iterdir()) == []


def begin_download(server: Server, file_id: int) -> socket.socket:
    """Ask for a file and read nothing of the answer but its start."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), TIMEOUT)
    connection.sendall(f"GET /{file_id} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    connection.recv(1)
    return connection


def test_40_stalled_uploads_keep_nobody_waiting(tmp_path: Path) -> None:
    with forked_launcher(tmp_path) as server:
        stalled = [begin_upload(server, number) for number in range(40)]
        await_partials(tmp_path, 40)
        for number in range(100, 120):
            assert requests.put(f"{server.url}/{number}", data=b"x", timeout=TIMEOUT).status_code == 201
        assert len(list((tmp_path / ".partial").iterdir())) == 40  # they are still stalling
        for connection in stalled:
            connection.close()
        await_partials(tmp_path, 0)


def test_stalled_uploads_are_timed_out(tmp_path: Path, written: Callable[[str, str], str]) -> None:
    settings = written("server.conf", "[global]\nserver.socket_timeout: 1\n")
    prefix = tmp_path / "archive"
    prefix.mkdir()
    with forked_launcher(prefix, "--cherrypy-config", settings) as server:
        stalled = [begin_upload(server, number) for number in range(40)]
        assert all(connection.recv(65536).startswith(b"HTTP/1.1 408 ") for connection in stalled)
    assert stored_files(prefix) == []


@pytest.fixture
def ordinary_user() -> str | None:
    """Whom the service runs as: a limit of threads does not bind root."""
    return "nobody" if os.getuid() == 0 else None


def test_with_no_thread_left_uploads_are_stored_and_a_stop_stops(ordinary_user: str | None) -> None:
    with tempfile.TemporaryDirectory() as directory:
        identity: dict[str, Any] = {}
        if ordinary_user:
            account = pwd.getpwnam(ordinary_user)
            os.chown(directory, account.pw_uid, account.pw_gid)
            identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with forked_launcher(directory, user=ordinary_user) as server:
            subprocess.run(["prlimit", f"--pid={server.pid}", "--nproc=1:1"], check=True, **identity)
            for number in range(3):
                assert requests.put(f"{server.url}/{number}", data=b"x" * 3_000_000).status_code == 201
            assert server.stop() == 0


def test_a_home_directory_that_cannot_be_searched_has_no_configuration(
    users_place: Path, ordinary_user: str | None
) -> None:
    (users_place / "home").mkdir(mode=0)
    with launcher(users_place, env={"HOME": str(users_place / "home")}, user=ordinary_user) as server:
        assert requests.put(f"{server.url}/7", data=b"x").status_code == 201


def test_what_a_killed_process_left_is_swept_and_never_served(tmp_path: Path) -> None:
    with forked_launcher(tmp_path) as server:
        requests.put(f"{server.url}/7", data=b"old")
        with begin_upload(server, 7):
            left = await_partials(tmp_path, 1)[0]
            server.process.kill()
            server.process.wait()
    assert left.exists()
    with forked_launcher(tmp_path) as server:
        assert not left.exists()
        assert requests.get(f"{server.url}/7").content == b"old"
        assert requests.get(f"{server.url}/.partial/{left.name}").status_code == 400
        assert "half-written" in server.stderr


def test_a_starting_process_spares_the_uploads_of_a_living_one(tmp_path: Path) -> None:
    with forked_launcher(tmp_path) as first:
        upload = begin_upload(first, 7)
        await_partials(tmp_path, 1)
        with forked_launcher(tmp_path):
            upload.sendall(b"56789")
            assert upload.recv(65536).startswith(b"HTTP/1.1 201 ")
    assert (tmp_path / "7").read_bytes() == b"0123456789"


def test_concurrent_uploads_and_downloads_take_little_memory(tmp_path: Path) -> None:
    content = os.urandom(1 << 25)
    with forked_launcher(tmp_path) as server:
        requests.put(f"{server.url}/1", data=b"warm")
        before = peak_memory(server.pid)

        def round_trip(number: int) -> None:
            requests.put(f"{server.url}/{number}", data=content, timeout=TIMEOUT)
            assert requests.get(f"{server.url}/{number}", timeout=TIMEOUT).content == content

        threads = [threading.Thread(target=round_trip, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert peak_memory(server.pid) - before < 64 << 20  # far below the 256 MiB in flight


def peak_memory(pid: int) -> int:
    """Return the most bytes that the process ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10
