"""Programs that use the client interface of HPSS as public ones do, compiled and run on every flavour.

They are linked with -lhpss, so they start only if the library is found by its name, and built with the address
sanitizer, so that a list which cannot be freed as those programs do, or which is lost, ends them.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.hpss.support import NEWEST, WARNINGS, library_of, prefix_of
from tests.hpss_simulator import HERE, Simulator

Run = Callable[..., str]
SIZE = 200_001  # bytes: several blocks of parallel I/O, and an odd rest
FLAGS = ["-std=gnu11", "-g", "-pthread", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return what compiles a program for a flavour, once."""
    place = tmp_path_factory.mktemp("programs")

    def program(name: str, flavour: str) -> Path:
        built = place / f"{name}-{flavour}"
        if not built.exists():
            library = library_of(flavour)
            source = HERE / "programs" / f"{name}.c"
            places = [f"-I{prefix_of(flavour)}/include", f"-L{library.parent}"]
            command = ["cc", *FLAGS, *WARNINGS.split(), *places, str(source), "-lhpss", "-o", str(built)]
            subprocess.run(command, check=True)
        return built

    return program


@pytest.fixture
def run(programs: Callable[[str, str], Path], flavour: str, simulator: Simulator) -> Run:
    """Return what runs a program on the archive, logged in by its keytab, and gives what it prints."""

    def run_program(name: str, *words: object) -> str:
        login = ["hpss", f"auth_keytab:{simulator.root}/keytab"]
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(library_of(flavour).parent),
            "HPSS_SIM_ROOT": str(simulator.root),
            "HPSS_SIM_NAMES": "/",
        }
        command = [str(programs(name, flavour)), *login, *map(str, words)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run_program


def to_tape(simulator: Simulator, path: Path) -> None:
    simulator.migrate(str(path))
    simulator.purge(str(path))


def test_a_transfer_server_acts_as_another_user(run: Run) -> None:
    assert run("transfer", "whoami", "-") == "hpss 4711 fits\n"


def test_a_transfer_server_moves_files_by_parallel_transfers(run: Run, simulator: Simulator, directory: Path) -> None:
    path = directory / "file"
    assert run("transfer", "store", path, SIZE) == f"stored {SIZE}\n"
    assert simulator.show(str(path))["level0"] == f"disk {SIZE}"
    assert run("transfer", "retrieve", path) == f"retrieved {SIZE}, none wrong\n"
    assert simulator.counters()["open_descriptors"] == 0


def test_a_transfer_server_lists_by_handle(run: Run, simulator: Simulator, directory: Path) -> None:
    for name in ("on-disk", "on-tape", "third"):
        run("transfer", "store", directory / name, 100)
    simulator.mkdir(str(directory / "sub"))
    to_tape(simulator, directory / "on-tape")
    assert sorted(run("transfer", "list", directory).splitlines()) == [
        "on-disk file 100 resident same",
        "on-tape file 100 archived same",
        "sub directory",
        "third file 100 resident same",
    ]


def test_a_transfer_server_asks_for_a_recall_once_and_follows_it(
    run: Run, simulator: Simulator, directory: Path
) -> None:
    path = directory / "file"
    run("transfer", "store", path, 100)
    to_tape(simulator, path)
    simulator.set("mount_seconds", 1000)
    assert run("transfer", "stage", path) == "unknown, then active\n"
    assert run("transfer", "stage", path) == "active, then active\n"
    assert simulator.counters()["stages"] == 1
    simulator.advance(1001)
    assert "file 100 resident" in run("transfer", "list", directory)


@pytest.mark.parametrize("flavour", [NEWEST])
def test_a_transfer_server_asks_for_many_recalls_in_the_order_of_the_tape(
    run: Run, simulator: Simulator, directory: Path
) -> None:
    paths = [directory / name for name in ("first", "second", "third", "on-disk")]
    for path in paths:
        run("transfer", "store", path, 100)
    for path in paths[:3]:
        to_tape(simulator, path)
    simulator.set("mount_seconds", 1000)
    simulator.set("drives", 1)
    asked = run("transfer", "stage-batch", *reversed(paths))
    assert asked == "on-disk 0 0\nthird -1406 2\nsecond -1406 2\nfirst -1406 2\n"
    assert [simulator.show(str(path))["stage"] for path in paths] == ["active", "queued", "queued", "none"]


def test_a_transfer_that_a_participant_gives_up_fails_as_the_flavour_does(
    run: Run, flavour: str, directory: Path
) -> None:
    run("transfer", "store", directory / "file", 1)
    told = run("transfer", "give-up", directory / "file")
    assert told == ("HPSS_EIO, unknown bytes\n" if flavour == "7.4" else "HPSS_ECONN, 0 bytes\n")


def test_a_handle_is_stale_when_its_file_has_another_name(run: Run, directory: Path) -> None:
    run("transfer", "store", directory / "file", 1)
    told = run("transfer", "read-by-handle", directory / "file", directory / "other")
    assert told == "a, then HPSS_ESTALE\n"


def test_a_transfer_server_keeps_digests_in_hpss(run: Run, directory: Path) -> None:
    run("transfer", "store", directory / "file", 1)
    told = run("transfer", "hash", directory / "file")
    assert told == "no digest\nabcd by transfer, valid\nabcd by transfer, invalid\n"


def test_a_transfer_server_keeps_checksums_by_handle(run: Run, directory: Path) -> None:
    path = directory / "file"
    run("transfer", "store", path, 1)
    assert run("transfer", "digest", path) == "none\n"
    assert run("transfer", "digest", path, "0123abcd") == "0123abcd\n"
    assert run("transfer", "digest", path) == "0123abcd\n"


def test_a_broker_learns_which_volumes_hold_a_file(run: Run, simulator: Simulator, directory: Path) -> None:
    path = directory / "file"
    run("transfer", "store", path, 100)
    to_tape(simulator, path)
    lines = run("broker", "where", path).splitlines()
    assert lines[:3] == ["class 1", "disk 0", "tape 100"]
    assert [line.split()[0] for line in lines[3:]] == ["0", "1"]
    for line in lines[3:]:
        assert " VT0001" in line
        assert " position 1 offset " in line
        assert line.endswith(" bytes 50 named")


def test_a_broker_waits_for_its_recall(run: Run, simulator: Simulator, directory: Path) -> None:
    path = directory / "file"
    run("transfer", "store", path, 100)
    to_tape(simulator, path)
    assert run("broker", "stage", path) == "staged\n"
    assert simulator.show(str(path))["level0"] == "disk 100"


DRIVEN = """\
write 11
fsync 0
close 0
create again HPSS_EEXIST
size 11 mode 640
seek 0
read tape
end 0
write to a reader HPSS_EBADF
close 0
close again HPSS_EBADF
entry one long known
closedir 0
plus one 11
chown 0
owner 4711
statfs 0
room some
statfs of no class HPSS_EINVAL
class of an empty file 0
class of a full file HPSS_EINVAL
mkdir 0
mkdir again HPSS_EEXIST
chmod 0
rename 0
stat the old name HPSS_ENOENT
truncate 0
symlink 0
readlink 7
link sub/two
plus two 5
rmdir HPSS_EPERM
unlink 0
unlink 0
unlink again HPSS_ENOENT
rmdir 0
"""


def test_a_storage_driver_makes_every_call_of_a_file_system(run: Run, directory: Path) -> None:
    assert run("driver", directory) == DRIVEN


STREAMED = """\
open what is missing -1 HPSS_ENOENT
write 17
flush 0
items 3
tell 23
read from a writer -1 HPSS_EBADF
close 0
line first line
letter s
tell 12
seek 0
rest 123456
seek before the start -1 HPSS_EINVAL
close 0
changed first LINE
close 0
"""


def test_a_small_tool_uses_streams(run: Run, simulator: Simulator, directory: Path) -> None:
    path = directory / "file"
    assert run("stream", path) == STREAMED
    assert path.read_bytes() == b"first LINE\nsecond123456!"
    assert simulator.counters()["open_descriptors"] == 0
