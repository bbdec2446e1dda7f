"""Fixtures: a service on every backend."""

import gc
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.globals import LOG_NAME
from pacifica.archiveinterface.http.options import HttpOptions
from pacifica.archiveinterface.web.settings import Settings
from tests.support.recall_site import Clock
from tests.support.service import BACKENDS, NOT_FOR_READERS, Backend, Service, serving

# Machines are noisy; how long an example takes says nothing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# What is loaded to collect the tests stays, and looking for garbage among it takes its time, of every fork too.
gc.disable()

# Services that tests start keep their recalls here.
_STATE = TemporaryDirectory(prefix="state-")
Path(_STATE.name).chmod(0o1777)
os.environ["STATE_DIRECTORY"] = _STATE.name
# Looking for proxies in the environment takes a quarter of the time of a small request.
os.environ["NO_PROXY"] = "127.0.0.1"

Serve = Callable[..., Service]

# What waits for installations, load generators and killed servers, or sends many requests: tens of seconds each.
_LONG = {
    *("bench_test.py", "s3_bench_test.py", "packaging_test.py", "docs_test.py", "nodes_test.py", "demo_test.py"),
    *("cases_test.py", "framing_test.py", "fuzz_test.py"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, so that none of them is all that is left in the end."""
    items.sort(key=lambda item: item.path.name not in _LONG)


def pytest_collection_finish() -> None:
    """Look for garbage among what tests make only."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for each reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} tests skipped: {reason}")


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    """Return what writes a config.ini and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "config.ini"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture(autouse=True)
def plain_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which this process logged a message that has no words for what it is about."""
    yield
    for record in caplog.get_records("call"):
        message = record.getMessage()
        assert record.name != LOG_NAME or not NOT_FOR_READERS.search(message), message


@pytest.fixture(params=BACKENDS, ids=str)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn."""
    chosen: Backend = request.param
    yield chosen
    chosen.leave()


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Where the archive's files are."""
    return tmp_path / "archive"


@pytest.fixture
def far() -> Iterator[Path]:
    """A directory on another file system than tmp_path's."""
    with TemporaryDirectory(dir="/dev/shm") as place:
        yield Path(place)


@pytest.fixture
def ordinary_user() -> str | None:
    """The user to run a service as, None for the one that runs the tests: an ordinary one in any case."""
    return "nobody" if os.getuid() == 0 else None


@pytest.fixture
def users_place(ordinary_user: str | None) -> Iterator[Path]:
    """A directory that belongs to the ordinary user; those of pytest are root's alone."""
    with TemporaryDirectory() as place:
        if ordinary_user:
            shutil.chown(place, ordinary_user)
        yield Path(place)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clocks of this process, which go on by themselves, and jump when the test says so."""
    clock = Clock(time.time, time.monotonic)
    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def serve(backend: Backend, prefix: Path) -> Iterator[Serve]:
    """Start a service on the backend, with sections of options as keywords."""
    with ExitStack() as stack:

        def start(
            settings: Settings | None = None, archive: ArchiveOptions | None = None, http: HttpOptions | None = None
        ) -> Service:
            return stack.enter_context(serving(backend.make(prefix, archive), settings, http))

        yield start


@pytest.fixture
def service(serve: Serve) -> Service:
    """A service with default options."""
    return serve()
