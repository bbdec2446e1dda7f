"""Each verb, succeeding and failing, leaves descriptors, threads, locks and files as they were.

LEAK_ROUNDS says how often each is done; ``make test-leaks`` does each a thousand times.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from pacifica.archiveinterface.id2filename import id2filename
from tests.backends.hpss import support as hpss
from tests.backends.hpss.forked import run_on
from tests.samqfs_emulator.host import HsmHost
from tests.support.forked import forked_launcher
from tests.support.leaks import CONTENT, KEPT, OF_REFUSAL, TAPE, Target, fill, leaks, ordeals_of
from tests.support.mariadb import shared_server
from tests.support.needs import need
from tests.support.processes import Server, uwsgi

ROUNDS = int(os.getenv("LEAK_ROUNDS", "3"))
Run = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(params=[forked_launcher, uwsgi], ids=["launcher", "uwsgi"])
def server(request: pytest.FixtureRequest) -> Run:
    """What runs each server in turn."""
    run: Run = request.param
    return run


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The directory for the service's temporary files."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


@contextmanager
def running(
    server: Run, backend: str, prefix: Path, config: str, temporary: Path, **environment: str
) -> Iterator[Server]:
    """Run *server* with one process that answers."""
    file = temporary.with_name("config.ini")
    file.write_text(config)
    named = {"ARCHIVEINTERFACE_CONFIG": str(file), "TMPDIR": str(temporary), **environment}
    # uWSGI looks for modules in the working directory first, where the package is without HPSS.
    options = ("-p", "1", "--chdir", str(temporary)) if server is uwsgi else ("-t", backend)
    with server(prefix, *options, env={**named, "PAI_BACKEND_TYPE": backend}) as started:
        yield started


def test_nothing_is_leaked_on_posix(server: Run, tmp_path: Path, temporary: Path, far: Path) -> None:
    prefix = tmp_path / "archive"
    prefix.mkdir()
    config = f"[archive]\nmove_roots = {far}\n[posix]\nuse_id2filename = true\n"
    with running(server, "posix", prefix, config, temporary) as started:
        target = Target(
            started.url, started.pid, [prefix, temporary, far], outside=far, takes_chunked=server is not uwsgi
        )
        fill(target)
        assert leaks(target, ordeals_of(target), ROUNDS) == {}


def test_nothing_is_leaked_where_replacing_is_refused(tmp_path: Path, temporary: Path) -> None:
    prefix = tmp_path / "archive"
    prefix.mkdir()
    (prefix / KEPT).write_bytes(CONTENT)
    config = "[archive]\noverwrite = refuse\n"
    with running(forked_launcher, "posix", prefix, config, temporary) as started:
        target = Target(started.url, started.pid, [prefix, temporary])
        assert leaks(target, OF_REFUSAL, ROUNDS) == {}


def test_nothing_is_leaked_on_hpss(server: Run, tmp_path: Path, temporary: Path) -> None:
    need("cc")
    prefix = tmp_path / "archive"
    simulator = hpss.simulator_of("9.3", prefix)
    environment = hpss.names_of(simulator)
    run: Run = partial(forked_launcher, run=run_on(simulator))
    if server is uwsgi:
        run, environment["PYTHONPATH"] = uwsgi, str(hpss.install(tmp_path / "lib", "9.3"))
    config = hpss.write_config(simulator).read_text()
    with running(run, "hpss", prefix, config, temporary, **environment) as started:
        target = Target(started.url, started.pid, [prefix, temporary], takes_chunked=server is not uwsgi)
        target.more = lambda: {"HPSS descriptors": simulator.counters()["open_descriptors"]}
        fill(target)
        assert leaks(target, ordeals_of(target), ROUNDS) == {}


def test_nothing_is_leaked_on_oracle_hsm(server: Run, tmp_path: Path, temporary: Path, far: Path) -> None:
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
            takes_chunked=server is not uwsgi,
            has_tape=True,
            database_port=options["port"],
        )
        fill(target)
        target.ask(201, "PUT", TAPE, b"on tape")
        on_tape = prefix / id2filename(int(TAPE))[1:]
        host.filesystem.archive(on_tape)
        assert host.filesystem.release(on_tape)
        target.ask(202, "POST", TAPE)
        started.await_line("false ended with 1")  # then the threads and connections of the recaller are there
        assert leaks(target, ordeals_of(target), ROUNDS) == {}
