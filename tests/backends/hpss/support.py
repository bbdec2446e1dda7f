"""The extension built for each flavour of the simulator, and archives on them."""

import fcntl
import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pacifica.archiveinterface.backends.hpss as package
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.hpss.archive import HpssBackendArchive
from pacifica.archiveinterface.backends.hpss.options import HpssOptions
from tests.backends.hpss.exercise import load
from tests.hpss_simulator import HERE, Simulator, build
from tests.support.needs import need
from tests.support.waiting import await_true

FLAVOURS = ("7.4", "7.5", "9.3")
NEWEST = FLAVOURS[-1]
PROJECT = HERE.parent.parent
BUILT = PROJECT / "build" / "hpss"
EXTENSION = f"{package.__name__}._hpssExtensions"
TIMEOUT = 60  # seconds before a test gives up
WARNINGS = "-Wall -Wextra -Werror"
COUNTED = "-DHPSS_SIM_COUNT_BLOCKS"  # the simulator then counts what has to be freed

SOURCES = [
    *HERE.rglob("*.[ch]"),
    HERE / "__init__.py",
    *Path(package.__file__).parent.glob("*.c"),
    PROJECT / "setup.py",
]


def prefix_of(flavour: str) -> Path:
    """Return what HPSS_PREFIX is to name for *flavour*."""
    return BUILT / flavour


def python_path_of(flavour: str) -> Path:
    """Return the directory below which the extension for *flavour* and this Python is built."""
    return prefix_of(flavour) / f"python{sys.version_info.major}.{sys.version_info.minor}"


@functools.cache
def library_of(flavour: str) -> Path:
    """Return libhpss.so of *flavour*, with the extension beside it; compiled when older than its sources."""
    need("cc")
    built = python_path_of(flavour) / "built"
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / f"lock-{flavour}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes run at a time
        if not built.exists() or built.stat().st_mtime < max(source.stat().st_mtime for source in SOURCES):
            build(flavour, prefix_of(flavour))
            build_extension(prefix_of(flavour), python_path_of(flavour))
            built.touch()
    return prefix_of(flavour) / "lib" / "libhpss.so"


def build_extension(prefix: Path, target: Path, **environment: str) -> None:
    """Build the extension against *prefix* as an installation does, with warnings as errors."""
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(target), "--build-temp", str(target / "o")],
        cwd=PROJECT,
        env={**os.environ, "HPSS_PREFIX": str(prefix), "CFLAGS": f"{WARNINGS} {COUNTED}", **environment},
        check=True,
        stdout=subprocess.DEVNULL,
    )


@functools.cache
def client_of(flavour: str) -> Any:
    """Return the extension for *flavour*; those of several flavours live in one process."""
    return load(library_of(flavour), extension_of(flavour))


def extension_of(flavour: str) -> Path:
    """Return the file of the extension for *flavour* and this Python."""
    directory = python_path_of(flavour).joinpath(*package.__name__.split("."))
    (path,) = directory.glob("_hpssExtensions*.so")
    return path


def install(target: Path, flavour: str | None) -> Path:
    """Lay the whole package out in *target*, as an installation does, and return it; no *flavour*, no HPSS."""
    environment = {key: value for key, value in os.environ.items() if key != "HPSS_PREFIX"}
    if flavour:
        library_of(flavour)
        environment["HPSS_PREFIX"] = str(prefix_of(flavour))
        environment["CFLAGS"] = COUNTED
    beside = Path(f"{target}-o")  # not in the project, where several test processes would write the same files
    beside.mkdir(exist_ok=True)
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(beside)]
    command += ["build", "--build-lib", str(target), "--build-temp", str(beside)]
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return target


def write_config(simulator: Simulator, **hpss: Any) -> Path:
    """Write a config.ini for the simulator's archive and return its path."""
    options = {"library": simulator.library, "auth": simulator.root / "keytab", "sitename": "sim", **hpss}
    path = simulator.root / "config.ini"
    path.write_text("[hpss]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
    return path


@contextmanager
def installed(flavour: str) -> Iterator[None]:
    """Let the package find the extension for *flavour* within the block."""
    with patch.dict(sys.modules, {EXTENSION: client_of(flavour)}):
        yield


def simulator_of(flavour: str, directory: Path) -> Simulator:
    """Return the simulator of *flavour* whose archive shows in *directory*: HPSS paths are local ones."""
    # Beside the test's own directory, for tests that look for traces in it.
    root = directory.parent.with_name(f"{directory.parent.name}-hpss")
    simulator = Simulator(library_of(flavour), root, Path("/"))
    simulator.write_keytab()
    simulator.mkdir(str(directory))
    return simulator


def names_of(simulator: Simulator) -> dict[str, str]:
    """Return the variables that name the archive of *simulator* to a process; its HPSS paths are local ones."""
    return {"HPSS_SIM_ROOT": str(simulator.root), "HPSS_SIM_NAMES": "/"}


def archive_on(
    simulator: Simulator,
    directory: Path,
    hpss: dict[str, Any] | None = None,
    archive: ArchiveOptions | None = None,
) -> HpssBackendArchive:
    """Return an archive below *directory*; *hpss* are options of its section, *archive* those of [archive]."""
    settings = {
        "library": str(simulator.library),
        "auth": str(simulator.root / "keytab"),
        "sitename": "sim",
        "io_block_size": 1 << 16,
        "busy_delay": 1,
        **(hpss or {}),
    }
    with installed(simulator.flavour):
        return HpssBackendArchive(str(directory), archive, HpssOptions(**settings))


def wait_for_a_hanging_call(simulator: Simulator) -> None:
    """Return once a call has reached a failure that says ``hang``."""
    await_true(lambda: simulator.counters()["hanging"])


def assert_all_is_closed(simulator: Simulator) -> None:
    """See that no descriptor, and no block of HPSS's, outlives the requests; one closes its file after its answer."""
    deadline = time.monotonic() + TIMEOUT
    while simulator.counters()["open_descriptors"] and time.monotonic() < deadline:
        time.sleep(0.005)
    counters = simulator.counters()
    misuse = ("open_descriptors", "blocks", "bad_frees", "bad_descriptors", "calls_before_login", "calls_after_fork")
    assert {name: counters[name] for name in misuse if counters[name]} == {}
