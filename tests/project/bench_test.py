"""The comparison is honest: it measures everything it names, finds out who lies, and leaves nothing behind.

Speed is no matter here. The original is left out: it would have to be downloaded, which `make bench` does.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.goals import outcomes
from benchmarks.load import Work, measure
from benchmarks.report import write_report
from benchmarks.running import Contestant, Running
from benchmarks.seed import LARGE_ID, make_seed
from benchmarks.services import (
    ALL,
    BEFORE_UWSGI,
    CHERRYPY_UWSGI,
    LAUNCHER,
    LENGTHLESS_UWSGI,
    NGINX,
    ORIGINAL_UWSGI,
    RCLONE,
    UWSGI,
    WSGI_LAUNCHER,
    WSGI_UWSGI,
    service,
)
from tests.support.needs import need
from tests.support.processes import BIN
from tests.support.service import TIMEOUT

ROOT = Path(__file__).parents[2]
SERVICES = {UWSGI, LAUNCHER, NGINX, RCLONE}
COMMANDS = ("wrk", "nginx", "curl", "openssl", "findmnt", "cmp", BIN / "rclone", BIN / "uwsgi")
FLOORS = {CHERRYPY_UWSGI, LENGTHLESS_UWSGI, WSGI_LAUNCHER}


@pytest.fixture(autouse=True)
def _contestants_are_installed() -> None:
    need(*COMMANDS)


def comparison(place: Path, names: Collection[str], *options: str) -> subprocess.Popen[str]:
    """Start the quick form of the comparison of the services *names* below *place*, with few data and requests."""
    only = [option for name in sorted(names) for option in ("--only", name)]
    command = [sys.executable, "-m", "benchmarks.compare", "--trial", "--place", f"here={place}", *only, *options]
    few = {**os.environ, "PAUSE_MS": "20", "ENOUGH": "20"}
    return subprocess.Popen(command, cwd=ROOT, env=few, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_quick_form_measures_everything_and_finds_nothing_wrong(tmp_path: Path) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    with comparison(place, SERVICES | FLOORS, "--out", str(out)) as process:
        printed = process.communicate(timeout=5 * TIMEOUT)[0]
    assert process.returncode == 0, printed
    assert list(place.iterdir()) == []
    results = json.loads((out / "results.json").read_text())
    done = {(record["work"], record["service"]) for record in results["records"]}
    kinds = ("GET 1 KiB", "HEAD 1 KiB", "PUT 1 KiB", "ranged GET 1 KiB", "mixed", "PUT 4 MiB", "GET 4 MiB")
    floors = {("GET 1 KiB", name) for name in FLOORS}
    floors |= {(work, name) for work in ("HEAD 1 KiB", "PUT 1 KiB") for name in FLOORS - {LENGTHLESS_UWSGI}}
    assert done == floors | {(work, name) for work in kinds for name in SERVICES}
    assert {(record["layout"], record["files"], record["kind"]) for record in results["growth"]} == {
        (layout, files, kind)
        for layout in ("flat", "use_id2filename")
        for files in (10, 100)
        for kind in ("GET", "HEAD", "PUT")
    }
    assert {record["service"] for record in results["memory"]} == {UWSGI, LAUNCHER}
    measured = results["records"] + results["growth"]
    assert [record for record in measured if record["wrong"] or record["errors"] or not record["rate"]] == []
    assert "bare CherryPy, uWSGI" in (out / "report.md").read_text()
    for page in ("report.md", "summary.md"):
        assert all(f"]({plot.name})" in (out / page).read_text() for plot in out.glob("*.svg"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_comparison_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    place = tmp_path / "place"
    with comparison(place, {UWSGI, NGINX}) as process:  # they have processes of their own
        assert process.stdout
        while "GET" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + number
    assert list(place.iterdir()) == []
    assert processes_in(place) == []


def processes_in(place: Path) -> list[str]:
    """Return the processes whose current directory is, or was, below *place*."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found += [entry.name] if os.readlink(entry / "cwd").startswith(f"{place}/") else []
            except OSError:
                continue
    return found


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files, and a large one that is not."""
    place = tmp_path_factory.mktemp("seed") / "seed"
    make_seed(place, 1 << 22)
    return place


@contextmanager
def lying(fault: str, home: Path, seed: Path) -> Iterator[tuple[Contestant, Running]]:
    """Run a service with that *fault*, the files of the seed stored as they are."""
    contestant = Contestant(
        "liar",
        lambda home, port: [sys.executable, "-m", "tests.project.liar", fault, str(port)],
        ALL,
        lambda home: {"PYTHONPATH": str(ROOT)},
    )
    with contestant.running(home) as running:
        for path in [*seed.glob("*/*"), seed / str(LARGE_ID)]:
            (running.files / path.name).write_bytes(path.read_bytes())
        yield contestant, running


def wrong(fault: str, work: Work, home: Path, seed: Path) -> int:
    """Return how much is found to be wrong with a service of that *fault*."""
    with lying(fault, home, seed) as (contestant, running):
        found: int = measure(contestant, running, work, seed, seconds=1)["wrong"]
        return found


@pytest.mark.parametrize("kind", sorted(ALL))
def test_an_honest_service_is_found_right(kind: str, tmp_path: Path, seed: Path) -> None:
    assert wrong("none", Work(kind, "1 KiB", 4), tmp_path / "home", seed) == 0


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("GET", "damaged"),
        ("GET", "half"),
        ("GET", "another status"),
        ("HEAD", "length"),
        ("PUT", "forgotten"),
        ("PUT", "damaged when put"),
        ("range", "offset"),
        ("mixed", "damaged"),
        ("mixed", "damaged when put"),
        ("large GET", "damaged"),
        ("large GET", "half"),
        ("large PUT", "forgotten"),
        ("large PUT", "damaged when put"),
    ],
)
def test_a_service_that_answers_wrongly_is_found_out(kind: str, fault: str, tmp_path: Path, seed: Path) -> None:
    assert wrong(fault, Work(kind, "1 KiB", 4), tmp_path / "home", seed) > 0


def test_a_service_that_would_run_other_code_than_it_should_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "pacifica").mkdir(parents=True)
    with pytest.raises(RuntimeError, match="would run"), service(UWSGI, elsewhere).running(tmp_path / "home"):
        pass


def results_with(rates: dict[str, list[float]], **record: Any) -> dict[str, Any]:
    """Return results of GET with these *rates*, round by round."""
    common = {"place": "disk", "work": "GET 1 KiB", "clients": 1, **record}
    records = [
        {**common, "service": name, "round": number, "rate": rate, "lengthless": name == ORIGINAL_UWSGI}
        for name, each in rates.items()
        for number, rate in enumerate(each)
    ]
    about = {"file systems": {"disk": "ext4"}}
    return {"about": about, "records": records, "growth": [], "memory": []}


def test_a_ratio_is_taken_within_each_round() -> None:
    (found,) = outcomes(results_with({UWSGI: [100.0, 300.0, 10.0], CHERRYPY_UWSGI: [100.0, 200.0, 20.0]}))
    assert str(found.found) == "1.00 | 0.50..1.50"
    assert found.reached


def test_what_wrk_costs_without_a_length_is_no_fault_of_the_service() -> None:
    rates = {UWSGI: [125.0], ORIGINAL_UWSGI: [80.0], WSGI_UWSGI: [1000.0], LENGTHLESS_UWSGI: [1 / 0.0035]}
    (found,) = outcomes(results_with(rates))
    assert str(found.found) == "1.25 | 1.25..1.25"


def summary_of(rounds: int, rate: float, out: Path) -> str:
    """Return the summary of a run in which the service had *rate*, 100 the bare handler and 50 the revision before."""
    figures = {"p50_ms": 1.0, "p99_ms": 2.0, "cpu_seconds_per_1000": 0.5, "peak_mebibytes": 40, "wrong": 0, "errors": 0}
    results = results_with(
        {UWSGI: [rate] * rounds, CHERRYPY_UWSGI: [100.0] * rounds, BEFORE_UWSGI: [50.0] * rounds}, **figures
    )
    about = {
        "date": "2026-11-25",
        "minutes": 1,
        "quick": False,
        "change": False,
        "rounds": rounds,
        "seconds": 1,
        "machine": "a machine",
    }
    results["about"] |= {**about, "versions": {}}
    write_report({**results, "bytes alone": []}, out)
    return (out / "summary.md").read_text()


@pytest.mark.parametrize(("rate", "reached"), [(100.0, 1), (80.0, 0)])
def test_the_summary_gives_a_verdict_on_five_rounds(rate: float, reached: int, tmp_path: Path) -> None:
    assert f"{reached} of 1 goals are reached" in summary_of(5, rate, tmp_path)


def test_the_summary_of_fewer_rounds_says_so_and_gives_no_verdict(tmp_path: Path) -> None:
    summary = summary_of(2, 80.0, tmp_path)
    assert "come from 2 rounds, and a verdict needs 5" in summary
    assert "**0.80 (0.80 to 0.80)**" in summary


def test_the_summary_tells_what_has_changed_since_the_revision_before(tmp_path: Path) -> None:
    assert "2.00 (2.00 to 2.00)" in summary_of(5, 100.0, tmp_path)


def test_a_goal_that_is_missed_is_called_so() -> None:
    assert outcomes(results_with({UWSGI: [80.0], CHERRYPY_UWSGI: [100.0]}))[0].reached is False
