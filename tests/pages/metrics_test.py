"""What the service counts and times, and how it tells that to Prometheus."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
import requests

from docs.examples.tape_backend import TapeBackendArchive
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.measuring import measured
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.metrics.definitions import COUNTED, PREFIX, READINGS
from pacifica.archiveinterface.pages.options import PagesOptions
from pacifica.archiveinterface.pages.readings import MOST_VOLUMES
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.report import Report, VolumeReport
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from pacifica.archiveinterface.web.application import make_application
from tests.support.forked import forked_launcher
from tests.support.metrics import Metrics, await_idle
from tests.support.process_tree import children
from tests.support.processes import BIN, Server, clean_environment, uwsgi
from tests.support.service import TIMEOUT, Client, Service, await_service, free_port, serving
from tests.support.waiting import await_true

FILE = {"resource": "file"}
ROUNDS, WORKERS = 5, 8


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service from this process, whose counts begin with those of earlier tests."""
    archive = measured(PosixBackendArchive)(str(tmp_path_factory.mktemp("archive")))
    with serving(archive) as running:
        yield running


class Difference:
    """How much more the *service* counts than before."""

    def __init__(self, service: Client) -> None:
        self._url = service.url
        self._before = await_idle(service.url)

    def __call__(self, name: str, **labels: str) -> float:
        """Return the difference of the samples *name* with these *labels*, once no request is under way."""
        return await_idle(self._url)(name, **labels) - self._before(name, **labels)


def test_requests_are_counted_by_method_and_class_of_status(service: Service) -> None:
    more = Difference(service)
    service.request("PUT", "/1", data=b"x" * 1000)
    for status in (200, 200, 404):
        assert service.request("GET", "/1" if status == 200 else "/404").status_code == status
    assert more("http_requests_total", method="PUT", status="2xx", **FILE) == 1
    assert more("http_requests_total", method="GET", status="2xx", **FILE) == 2
    assert more("http_requests_total", method="GET", status="4xx", **FILE) == 1
    assert more("http_received_bytes_total", method="PUT", **FILE) == 1000
    assert more("http_sent_bytes_total", method="GET", **FILE) >= 2000
    for histogram in ("http_request_duration_seconds", "http_time_to_first_byte_seconds"):
        assert more(f"{histogram}_count", method="GET", status="2xx", **FILE) == 2
        assert more(f"{histogram}_bucket", method="GET", status="2xx", le="+Inf", **FILE) == 2
        assert more(f"{histogram}_bucket", method="GET", status="2xx", le="1800.0", **FILE) == 2
        assert 0 < more(f"{histogram}_sum", method="GET", status="2xx", **FILE) < TIMEOUT


def test_pages_and_the_tape_api_are_counted_apart_and_methods_are_bounded(service: Service) -> None:
    more = Difference(service)
    service.request("BREW", "/1")
    service.request("GET", "/api/v1/stage/7")
    assert more("http_requests_total", method="other", status="4xx", **FILE) == 1
    assert more("http_requests_total", resource="tape", method="GET", status="4xx") == 1
    assert more("http_requests_total", resource="page", method="GET", status="2xx") > 0


def test_a_download_that_the_client_breaks_off_is_counted(service: Service) -> None:
    service.request("PUT", "/2", data=os.urandom(1 << 24))
    more = Difference(service)
    answer = requests.get(f"{service.url}/2", stream=True, timeout=TIMEOUT)
    next(answer.iter_content(10))
    assert Metrics(service.url)("http_requests_in_flight") == 2
    answer.close()
    assert more("http_broken_answers_total", method="GET", **FILE) == 1
    assert 0 < more("http_sent_bytes_total", method="GET", **FILE) < 1 << 24


def test_calls_of_the_backend_are_timed_and_its_failures_counted(service: Service) -> None:
    more = Difference(service)
    service.request("PUT", "/3", data=b"x")
    service.request("GET", "/3")
    service.request("HEAD", "/3")
    service.request("DELETE", "/3")
    service.request("DELETE", "/3")
    calls = {call: more("backend_call_duration_seconds_count", call=call) for call in ("publish", "status", "remove")}
    assert calls == {"publish": 1, "status": 1, "remove": 2}
    assert more("backend_call_failures_total") == 0  # that there is no such file is not the storage's failure
    root = Path(service.archive.prefix)
    root.rename(root.with_name("away"))
    try:
        assert service.request("GET", "/1").status_code == 503
    finally:
        root.with_name("away").rename(root)
    assert more("backend_call_failures_total", call="open_reader") == 1


def test_syncs_are_timed(service: Service) -> None:
    more = Difference(service)
    service.request("PUT", "/4", data=b"x")
    assert more("sync_duration_seconds_count", what="file") == 1
    assert more("sync_duration_seconds_count", what="directory") > 0
    assert more("sync_duration_seconds_sum") > 0


def test_contents_without_their_digest_and_damaged_files_are_counted(tmp_path: Path) -> None:
    with serving(PosixBackendArchive(str(tmp_path), ArchiveOptions(verify_reads=True))) as service:
        more = Difference(service)
        assert service.request("PUT", "/1", data=b"x", headers={"Content-MD5": "0" * 22 + "=="}).status_code == 400
        service.request("PUT", "/1", data=b"x")
        stored = tmp_path / "1"
        stored.chmod(0o644)
        stored.write_bytes(b"y")
        assert [service.request("GET", "/1").status_code for _ in range(3)] == [500] * 3
        assert more("digest_mismatches_total", where="upload") == 1
        assert more("digest_mismatches_total", where="stored") == 1
        assert more("damaged_file_refusals_total") == 2


def test_what_alerts_watch_is_there_before_it_happens(service: Service) -> None:
    metrics = Metrics(service.url)
    assert set(metrics.values_of("where", "digest_mismatches_total")) == {"upload", "stored"}
    assert "archiveinterface_damaged_file_refusals_total" in {sample.name for sample in metrics.samples}


def test_the_archive_and_the_process_are_told(service: Service) -> None:
    metrics = Metrics(service.url)
    found = os.statvfs(service.archive.prefix)
    assert 0 < metrics("storage_free_bytes") < metrics("storage_size_bytes") <= found.f_blocks * found.f_frsize
    assert metrics.values_of("check", "ready") == {"backend": 1, "draining": 1}
    assert metrics.values_of("backend", "build_info") == {"posix": 1}
    assert metrics("processes") == 1
    (cpu,) = (sample for sample in metrics.samples if sample.name == "process_cpu_seconds_total")
    assert (cpu.labels, cpu.value > 0) == ({"process": "0"}, True)


def test_openmetrics_is_spoken_to_those_who_ask_for_it(service: Service) -> None:
    wanted = "application/openmetrics-text;version=1.0.0"
    answer = service.request("GET", "/-/metrics", headers={"Accept": wanted})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    head = service.request("HEAD", "/-/metrics")
    assert (head.status_code, head.headers["Cache-Control"]) == (200, "no-store")


class CountedRecalls(RecallService):
    """Recalls of a site with more tapes than have metrics of their own."""

    def report(self) -> Report:
        """Return the queues."""
        volumes = [VolumeReport(f"T{number}", True, number, number * 10, 1, 0, 5.0) for number in range(30)]
        return Report(True, 3, 435, 30, 5.0, 1.5, 70, 7000, 2, volumes)


def test_recalls_are_told_by_state_and_the_largest_queues_by_volume(tmp_path: Path) -> None:
    archive = TapeBackendArchive(str(tmp_path))
    options = RecallOptions(database=f"sqlite:///{tmp_path}/recalls.db")
    with serving(archive, recalls=CountedRecalls(archive, Store("tape", options), options)) as service:
        metrics = Metrics(service.url)
    assert metrics.values_of("state", "recalls") == {"new": 3, "waiting": 435, "started": 30}
    assert metrics.values_of("state", "recalls_ended_total") == {"completed": 70, "failed": 2}
    assert (metrics("recaller_at_work"), metrics("recalls_oldest_waiting_seconds")) == (1, 5)
    waiting = metrics.values_of("volume", "recall_volume_waiting_files")
    assert len(waiting) == MOST_VOLUMES + 1
    assert (waiting["T29"], waiting["others"], sum(waiting.values())) == (29, sum(range(10)), sum(range(30)))
    assert metrics("recall_volumes") == 30
    assert metrics.values_of("check", "ready")["database"] == 1


def test_every_metric_that_is_exposed_is_defined(service: Service) -> None:
    defined = {f"{PREFIX}{metric.name}" for metric in (*COUNTED, *READINGS)}
    exposed = {family.name for family in Metrics(service.url).families if not family.name.startswith("process_")}
    assert exposed <= defined
    assert {metric.name for metric in COUNTED} <= {name.removeprefix(PREFIX) for name in exposed}


def restart(server: Server, number: signal.Signals) -> None:
    """End all workers of *server* and return when others have taken their places."""
    before = set(children(server.pid))
    for pid in before:
        os.kill(pid, number)
    await_true(lambda: len(children(server.pid)) == len(before) and not before.intersection(children(server.pid)))


def ask_and_restart(server: Server, numbers: list[signal.Signals]) -> Metrics:
    """Send ten requests to *server* before each restart of its workers, and return the metrics in the end."""
    for number in numbers:
        for _ in range(5):
            assert requests.put(f"{server.url}/1", data=b"x" * 100, timeout=TIMEOUT).status_code == 201
            assert requests.get(f"{server.url}/404", timeout=TIMEOUT).status_code == 404
        await_idle(server.url)  # a worker that is killed between an answer and its count does not count it
        restart(server, number)
    return Metrics(server.url)


def check_counts(metrics: Metrics, rounds: int) -> None:
    """Fail unless each request of so many *rounds* was counted once."""
    assert metrics("http_requests_total", method="PUT", status="2xx", **FILE) == 5 * rounds
    assert metrics("http_requests_total", method="GET", status="4xx", **FILE) == 5 * rounds
    assert metrics("http_request_duration_seconds_count", method="PUT", **FILE) == 5 * rounds
    assert metrics("http_received_bytes_total", method="PUT", **FILE) == 500 * rounds
    assert metrics("http_requests_in_flight") == 1


def test_uwsgi_counts_every_request_once_over_restarts_of_workers(tmp_path: Path) -> None:
    # uWSGI pauses when workers die often.
    with uwsgi(tmp_path, "-p", str(WORKERS), "--forkbomb-delay", "0", "--disable-logging") as server:
        metrics = ask_and_restart(server, [signal.SIGKILL] * ROUNDS)
        check_counts(metrics, ROUNDS)
        assert metrics("processes") <= WORKERS
        processes = {sample.labels["process"] for sample in metrics.samples if "process" in sample.labels}
        assert processes <= set(map(str, range(WORKERS)))  # no trace of the processes that have ended


def test_the_launcher_counts_over_restarts_and_reloads_of_its_workers(tmp_path: Path) -> None:
    with forked_launcher(tmp_path, "--processes", "3") as server:
        ask_and_restart(server, [signal.SIGKILL])
        os.kill(server.pid, signal.SIGHUP)
        server.await_line("reloaded")
        check_counts(Metrics(server.url), 1)


def test_a_process_that_is_killed_while_it_answers_has_counted_the_request(tmp_path: Path) -> None:
    with forked_launcher(tmp_path, "--processes", "2") as server:
        requests.put(f"{server.url}/1", data=bytes(1 << 24), timeout=TIMEOUT)
        before = await_idle(server.url)("http_requests_total", method="GET", **FILE)
        with requests.get(f"{server.url}/1", stream=True, timeout=TIMEOUT) as answer:
            next(answer.iter_content(10))
            restart(server, signal.SIGKILL)
        assert await_idle(server.url)("http_requests_total", method="GET", **FILE) == before + 1


def test_processes_that_each_load_the_application_count_together_in_a_directory(tmp_path: Path) -> None:
    prefix, port = tmp_path / "archive", free_port()
    prefix.mkdir()
    config = tmp_path / "config.ini"
    config.write_text(f"[pages]\nmetrics_directory = {tmp_path}\n")
    command = [
        str(BIN / "gunicorn"),
        "-b",
        f"127.0.0.1:{port}",
        "-w",
        "2",
        "pacifica.archiveinterface.wsgi:application",
    ]
    environment = {"PAI_PREFIX": str(prefix), "ARCHIVEINTERFACE_CONFIG": str(config)}
    with subprocess.Popen(command, env={**clean_environment(), **environment}) as process:
        try:
            service = Client(port)
            await_service(process, f"{service.url}/")
            more = Difference(service)
            for _ in range(20):
                service.request("GET", "/404")
            assert more("http_requests_total", status="4xx", **FILE) == 20
        finally:
            process.terminate()


def test_processes_that_count_apart_are_not_taken_for_the_whole(tmp_path: Path) -> None:
    application = make_application(PosixBackendArchive(str(tmp_path)))
    environ: dict[str, Any] = {"wsgi.multiprocess": True, "REMOTE_ADDR": "127.0.0.1", "PATH_INFO": "/-/metrics"}
    setup_testing_defaults(environ)
    with closing(application(environ, lambda status, headers: None)) as answer:
        content = json.loads(b"".join(answer))
    assert content["status"] == "501 Not Implemented"
    assert "metrics_directory" in content["message"]


@pytest.mark.parametrize("directory", ["", "/shared"])
def test_requests_are_counted_only_if_a_process_can_tell_them(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    more = Difference(service)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "prometheus_client", None)
        patch.delitem(sys.modules, "pacifica.archiveinterface.pages.exposition")
        pages = PagesOptions(metrics_directory=directory)
        with serving(PosixBackendArchive(str(tmp_path)), pages=pages) as other:
            assert other.request("PUT", "/1", data=b"x").status_code == 201
            assert other.request("GET", "/-/metrics").status_code == 501
    assert more("http_requests_total", method="PUT", **FILE) == (1 if directory else 0)


def test_without_prometheus_client_the_page_says_how_to_get_it(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["prometheus_client"] = None
from pacifica.archiveinterface.__main__ import main
main()
"""
    arguments = ["-t", "posix", "-p", "0", "--prefix", str(tmp_path)]
    environment = clean_environment()
    command: list[Any] = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            told, said = "", ""
            while "serves" not in said:
                told, said = told + said, process.stderr.readline()
            url = said.partition(" on ")[2].partition(":")[2].split()[0].rstrip(":")
            answer = requests.get(f"http:{url}/-/metrics", timeout=TIMEOUT)
            assert answer.status_code == 501
            for text in (answer.json()["message"], told):
                assert "pip install 'pacifica-archiveinterface[metrics]'" in text
        finally:
            process.terminate()
