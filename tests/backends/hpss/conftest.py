"""Fixtures: a simulated HPSS of each flavour, the extension logged in to it, and a service on it."""

import fcntl
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.backends.hpss.support import FLAVOURS, NEWEST, archive_on, client_of, install, simulator_of
from tests.hpss_simulator import Simulator
from tests.support.service import Service, serving

ServeHpss = Callable[..., Service]


# Elsewhere the tests ask what is above the extension, which is the same for all.
FLAVOUR_MATTERS = {
    "conformance_test",
    "extension_test",
    "installation_test",
    "programs_test",
    "tape_test",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests on each flavour where it matters, on the newest elsewhere, and on those that a test itself names."""
    named = any("flavour" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "flavour" in metafunc.fixturenames and not named:
        matters = metafunc.module.__name__.rpartition(".")[2] in FLAVOUR_MATTERS
        metafunc.parametrize("flavour", FLAVOURS if matters else [NEWEST])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The archive's prefix; in the simulator its path is that of HPSS too."""
    return tmp_path / "archive"


@pytest.fixture
def simulator(flavour: str, directory: Path) -> Simulator:
    """An empty archive with its prefix."""
    return simulator_of(flavour, directory)


@pytest.fixture
def client(flavour: str, simulator: Simulator) -> Any:
    """The extension, logged in."""
    module = client_of(flavour)
    module.login("hpss", "unix", "keytab", str(simulator.root / "keytab"))
    return module


@pytest.fixture
def serve_hpss(simulator: Simulator, directory: Path) -> Iterator[ServeHpss]:
    """Start a service on the simulator; *hpss* are options of its section, keywords other sections."""
    with ExitStack() as stack:

        def start(hpss: dict[str, Any] | None = None, **options: Any) -> Service:
            return stack.enter_context(serving(archive_on(simulator, directory, hpss, **options)))

        yield start


@pytest.fixture
def hpss_service(serve_hpss: ServeHpss) -> Service:
    """A service with default options."""
    return serve_hpss()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Path]:
    """Return what lays out an installation with HPSS of a flavour, or without HPSS, for PYTHONPATH.

    The processes of a run share it.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent

    @functools.cache
    def make(flavour: str | None) -> Path:
        home = place / f"installation-{flavour}"
        home.mkdir(exist_ok=True)
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (home / "made").exists():
                install(home / "lib", flavour)
                (home / "made").touch()
        return home / "lib"

    return make


Installation = Callable[[str | None], Path]
