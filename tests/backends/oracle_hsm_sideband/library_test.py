"""The emulated library: which drive reads what and when, and what that costs in mounts, seeks and time."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.backends.oracle_hsm_sideband.conftest import Clock
from tests.samqfs_emulator.filesystem import SamQfs

ROOT = Path(__file__).parents[3]


@pytest.fixture
def filesystem(tmp_path: Path) -> SamQfs:
    """A mount without a database; its clock goes when told to."""
    return SamQfs(tmp_path / "sam", clock=Clock())


def on_tape(filesystem: SamQfs, volume: str, count: int, size: int = 10) -> list[Path]:
    """Return files that lie one after the other on *volume*, and nowhere else."""
    paths = [filesystem.mount / f"{volume}-{number}" for number in range(count)]
    with filesystem.state.locked():
        for path in paths:
            path.write_bytes(bytes(size))
            filesystem.archive(path, vsn=volume)
            assert filesystem.release(path)
    return paths


def ask(filesystem: SamQfs, paths: Sequence[Path]) -> None:
    """Ask for *paths* in this order, as the stubs do."""
    for path in paths:
        filesystem.state.request_file(path).write_text(str(path))
        filesystem.serve_requests()


def finish(filesystem: SamQfs) -> list[tuple[float, str]]:
    """Let the drives read all they were asked for; return when, in seconds from now, each file was on disk."""
    began, came = filesystem.clock(), list[tuple[float, str]]()
    clock = filesystem.clock
    assert isinstance(clock, Clock)
    while (end := filesystem.time_of_next_stage()) is not None:
        waiting = set(filesystem.requests())
        clock.now = end
        filesystem.serve_requests()
        came += [(end - began, path.name) for path in sorted(waiting - set(filesystem.requests()))]
    assert filesystem.requests() == []
    return came


def shuffled(*volumes: list[Path]) -> list[Path]:
    """Return files of each volume in turn, the last ones first."""
    return [path for paths in zip(*volumes, strict=True) for path in paths][::-1]


@pytest.mark.parametrize(("sorts", "mounts", "distance"), [(True, 3, 0), (False, 12, 18)])
def test_sorted_requests_cost_a_mount_a_volume_and_no_seek(
    filesystem: SamQfs, sorts: bool, mounts: int, distance: int
) -> None:
    filesystem.library.change(sorts=sorts, mount_seconds=60)
    paths = shuffled(*(on_tape(filesystem, volume, 4) for volume in ("A", "B", "C")))
    ask(filesystem, on_tape(filesystem, "D", 1))  # the drive is busy until all are asked for
    ask(filesystem, paths)
    finish(filesystem)
    assert filesystem.counters() == {
        "mounts": 1 + mounts,
        "seek_distance": distance,
        "stages_started": 13,
        "stages_finished": 13,
        "stages_failed": 0,
    }


def test_mounting_seeking_and_reading_take_time(filesystem: SamQfs) -> None:
    filesystem.library.change(mount_seconds=60, seek_seconds=5, bytes_per_second=10)
    paths = on_tape(filesystem, "A", 4, size=20)
    ask(filesystem, [paths[3], paths[0]])
    # Mount, three positions on and two seconds; then four back.
    assert finish(filesystem) == [(77.0, "A-3"), (99.0, "A-0")]
    ask(filesystem, [paths[1]])
    assert finish(filesystem) == [(2.0, "A-1")]
    filesystem.release(paths[1])
    filesystem.library.change(sorts=False)
    ask(filesystem, [paths[1], *on_tape(filesystem, "B", 1, size=20)])
    assert finish(filesystem) == [(7.0, "A-1"), (69.0, "B-0")]


def test_drives_read_at_the_same_time_but_a_volume_is_in_one_only(filesystem: SamQfs) -> None:
    filesystem.library.change(drives=2, mount_seconds=60, bytes_per_second=1)
    first, second, third = (on_tape(filesystem, volume, 2) for volume in ("A", "B", "C"))
    ask(filesystem, [*first, *second, *third])
    came = finish(filesystem)
    assert came == [
        (70.0, "A-0"),
        (70.0, "B-0"),
        (80.0, "A-1"),
        (80.0, "B-1"),
        (150.0, "C-0"),
        (160.0, "C-1"),
    ]


def test_what_is_asked_for_later_is_read_on_the_way(filesystem: SamQfs) -> None:
    filesystem.library.change(bytes_per_second=1)
    first, second = on_tape(filesystem, "A", 4), on_tape(filesystem, "B", 1)
    ask(filesystem, [first[1], *second, first[0], first[3], first[2]])
    assert [name for _, name in finish(filesystem)] == ["A-1", "A-2", "A-3", "A-0", "B-0"]


def test_a_request_that_is_withdrawn_frees_its_drive(filesystem: SamQfs) -> None:
    filesystem.library.change(bytes_per_second=1)
    paths = on_tape(filesystem, "A", 3)
    ask(filesystem, paths)
    for path in paths[:2]:
        filesystem.state.request_file(path).unlink()
    filesystem.serve_requests()
    assert [name for _, name in finish(filesystem)] == ["A-2"]
    assert [path.stat().st_blocks > 0 for path in paths] == [False, False, True]


def test_the_archiver_fills_one_volume_after_the_other(filesystem: SamQfs) -> None:
    filesystem.library.change(files_per_volume=2)
    volumes = []
    for number in range(5):
        path = filesystem.mount / str(number)
        path.write_bytes(b"bytes")
        filesystem.archive(path)
        [section] = filesystem.status(path).copies[1].sections
        volumes.append((section.vsn, section.position))
    assert volumes == [("VOL001", 1), ("VOL001", 2), ("VOL002", 1), ("VOL002", 2), ("VOL003", 1)]


def test_the_control_command_sets_and_counts(filesystem: SamQfs) -> None:
    def control(*words: str) -> dict[str, object]:
        command = [sys.executable, "-m", "tests.samqfs_emulator", str(filesystem.root), *words]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return dict(json.loads(done.stdout))

    assert control("library", "drives=4", "mount_seconds=60") == vars(filesystem.library.settings)
    assert filesystem.library.settings.drives == 4
    ask(filesystem, on_tape(filesystem, "A", 2))
    assert control("counters") == filesystem.counters()
    assert filesystem.counters()["stages_started"] == 1


def test_each_of_many_files_costs_no_more_than_each_of_few(filesystem: SamQfs) -> None:
    steps: list[int] = []
    for volume, count in (("A", 25), ("B", 250)):
        with filesystem.state.locked():
            steps.append(0)
            # Counted in instructions of SQLite, whatever else the machine does.
            filesystem.state.database.set_progress_handler(lambda: steps.append(steps.pop() + 1), 100)
            paths = on_tape(filesystem, volume, count)
            for path in paths:
                filesystem.state.request_file(path).write_text(str(path))
            filesystem.serve_requests()
            steps[-1] //= count
    assert steps[1] < 2 * steps[0]
