"""Each verb, succeeding and failing, leaves descriptors, threads, locks and files as they were.

LEAK_ROUNDS says how often each is done; ``make test-leaks`` does each a thousand times.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from pacifica.archiveinterface.id2filename import id2filename
from tests.backends.hpss import support as hpss
from tests.samqfs_emulator.host import HsmHost
from tests.support.leaks import CONTENT, KEPT, OF_REFUSAL, TAPE, Target, fill, leaks, ordeals_of
from tests.support.mariadb import shared_server
from tests.support.needs import need
from tests.support.processes import Server, launcher, uwsgi

LONG = int(os.getenv("LEAK_ROUNDS", "0"))
Run = Callable[..., AbstractContextManager[Server]]
RUNS: dict[str, Run] = {"launcher": launcher, "uwsgi": uwsgi}


@pytest.fixture(params=RUNS)
def server(request: pytest.FixtureRequest) -> str:
    """Each server in turn, by name."""
    name: str = request.param
    return name


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The directory for the service's temporary files."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


@contextmanager
def running(
    server: str, backend: str, prefix: Path, config: str, temporary: Path, **environment: str
) -> Iterator[Server]:
    """Run *server* with one process that answers."""
    file = temporary.with_name("config.ini")
    file.write_text(config)
    named = {"ARCHIVEINTERFACE_CONFIG": str(file), "TMPDIR": str(temporary), **environment}
    # uWSGI looks for modules in the working directory first, where the package is without HPSS.
    options = ("-t", backend) if server == "launcher" else ("-p", "1", "--chdir", str(temporary))
    with RUNS[server](prefix, *options, env={**named, "PAI_BACKEND_TYPE": backend}) as started:
        yield started


def test_nothing_is_leaked_on_posix(server: str, tmp_path: Path, temporary: Path, far: Path) -> None:
    prefix = tmp_path / "archive"
    prefix.mkdir()
    config = f"[archive]\nmove_roots = {far}\n[posix]\nuse_id2filename = true\n"
    with running(server, "posix", prefix, config, temporary) as started:
        target = Target(
            started.url, started.pid, [prefix, temporary, far], outside=far, takes_chunked=server == "launcher"
        )
        fill(target)
        assert leaks(target, ordeals_of(target), LONG or 25) == {}


def test_nothing_is_leaked_where_replacing_is_refused(tmp_path: Path, temporary: Path) -> None:
    prefix = tmp_path / "archive"
    prefix.mkdir()
    (prefix / KEPT).write_bytes(CONTENT)
    config = "[archive]\noverwrite = refuse\n"
    with running("launcher", "posix", prefix, config, temporary) as started:
        target = Target(started.url, started.pid, [prefix, temporary])
        assert leaks(target, OF_REFUSAL, LONG or 25) == {}


def test_nothing_is_leaked_on_hpss(server: str, tmp_path: Path, temporary: Path) -> None:
    need("cc")
    prefix = tmp_path / "archive"
    simulator = hpss.simulator_of("9.3", prefix)
    environment = {
        "PYTHONPATH": str(hpss.install(tmp_path / "lib", "9.3")),
        "HPSS_SIM_ROOT": str(simulator.root),
        "HPSS_SIM_NAMES": "/",
    }
    config = hpss.write_config(simulator).read_text()
    with running(server, "hpss", prefix, config, temporary, **environment) as started:
        target = Target(started.url, started.pid, [prefix, temporary], takes_chunked=server == "launcher")
        target.more = lambda: {"HPSS descriptors": simulator.counters()["open_descriptors"]}
        fill(target)
        assert leaks(target, ordeals_of(target), LONG or 5) == {}


def test_nothing_is_leaked_on_oracle_hsm(server: str, tmp_path: Path, temporary: Path, far: Path) -> None:
    need("mariadbd")
    host = HsmHost(tmp_path / "sam", shared_server())
    prefix = host.filesystem.mount
    options = vars(host.options(residency="database", stager="command"))
    names = ("sam_qfs_prefix", "schema", "host", "user", "password", "port", "residency", "stager")
    settings = [*(f"{name} = {options[name]}" for name in names), "stage_command = false", "recall_threads = 2"]
    recalls = "[recalls]\nattempts = 1000\nretry_seconds = 3600"
    config = "\n".join([f"[archive]\nmove_roots = {far}\n{recalls}\n[hsm_sideband]", *settings])
    with running(server, "hsmsideband", prefix, config, temporary) as started:
        target = Target(
            started.url,
            started.pid,
            [prefix, temporary, far],
            outside=far,
            takes_chunked=server == "launcher",
            has_tape=True,
        )
        fill(target)
        target.ask(201, "PUT", TAPE, b"on tape")
        on_tape = prefix / id2filename(int(TAPE))[1:]
        host.filesystem.archive(on_tape)
        assert host.filesystem.release(on_tape)
        target.ask(202, "POST", TAPE)
        started.await_line("false ended with 1")  # then the threads and connections of the recaller are there
        assert leaks(target, ordeals_of(target), LONG or 5) == {}
