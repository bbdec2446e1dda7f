"""The simulated tape library: volumes, positions, drives, and what recalls cost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backends.hpss.exercise import create
from tests.hpss_simulator import Simulator

ID = bytes(16)
Cost = tuple[int, int, int]  # mounts, positions, seconds
OnTape = Callable[[int], list[str]]


@pytest.fixture
def on_tape(client: Any, simulator: Simulator, directory: Path) -> OnTape:
    """Return what makes files that are on tape only, in the order of the tape."""

    def make(count: int) -> list[str]:
        paths = [f"{directory}/{number}" for number in range(count)]
        for path in paths:
            create(client, path)
            simulator.migrate(path)
            simulator.purge(path)
        return paths

    return make


def cost(simulator: Simulator) -> Cost:
    counters = simulator.counters()
    return counters["mounts"], counters["seek_distance"], counters["recalls_end"] - counters["clock"]


def about(seconds: int) -> Any:
    """Tolerate the time that the test itself takes: the archive's clock goes on."""
    return pytest.approx(seconds, abs=600)


def place(client: Any, path: str) -> tuple[str, int, int]:
    first: tuple[str, int, int] = client.residency(path)["levels"][1][2][0]
    return first


def test_files_lie_one_behind_the_other_on_volumes_of_a_size(
    client: Any, simulator: Simulator, on_tape: OnTape
) -> None:
    simulator.set("files_per_volume", 4)
    simulator.set("files_per_aggregate", 2)
    places = [place(client, path) for path in on_tape(8)]
    assert places == sorted(places)
    assert len({volume for volume, _, _ in places}) == 2
    assert [(position, offset) for _, position, offset in places] == [(1, 0), (1, 4096), (2, 0), (2, 4096)] * 2


def test_reading_a_tape_in_its_order_winds_it_once(client: Any, simulator: Simulator, on_tape: OnTape) -> None:
    simulator.set("mount_seconds", 100_000)
    simulator.set("seek_seconds", 10_000)
    for path in on_tape(10):
        client.stage(path, ID)
    assert cost(simulator) == (1, 10, about(200_000))


def test_reading_a_tape_backwards_winds_it_to_and_fro(client: Any, simulator: Simulator, on_tape: OnTape) -> None:
    simulator.set("seek_seconds", 10_000)
    paths = on_tape(10)
    for path in (paths[9], paths[0], paths[8]):
        client.stage(path, ID)
    assert cost(simulator) == (1, 10 + 9 + 8, about(270_000))


def test_one_drive_changes_its_volume_each_time_that_another_is_asked_for(
    client: Any, simulator: Simulator, on_tape: OnTape
) -> None:
    simulator.set("files_per_volume", 2)
    simulator.set("mount_seconds", 100_000)
    simulator.set("drives", 1)
    first, second, third, fourth = on_tape(4)
    for path in (first, third, second, fourth):
        client.stage(path, ID)
    assert cost(simulator)[::2] == (4, about(400_000))


def test_a_volume_is_in_one_drive_at_a_time(client: Any, simulator: Simulator, on_tape: OnTape) -> None:
    simulator.set("files_per_volume", 2)
    simulator.set("mount_seconds", 100_000)
    first, second, third, _, fifth, _ = on_tape(6)
    for path in (first, third):
        client.stage(path, ID)
    client.stage(second, ID)  # behind the first, in its drive, though the other one is as free
    assert cost(simulator)[::2] == (2, about(100_000))
    client.stage(fifth, ID)
    assert cost(simulator)[::2] == (3, about(200_000))


@pytest.mark.parametrize(("idle_seconds", "mounts"), [(0, 2), (1000, 1)])
def test_an_idle_drive_keeps_its_volume_for_a_while(
    client: Any, simulator: Simulator, on_tape: OnTape, idle_seconds: int, mounts: int
) -> None:
    simulator.set("idle_seconds", idle_seconds)
    first, second = on_tape(2)
    client.stage(first, ID)
    simulator.advance(500)
    client.stage(second, ID)
    assert cost(simulator)[0] == mounts


def test_the_recalls_that_wait_run_end_and_fail_are_counted(client: Any, simulator: Simulator, on_tape: OnTape) -> None:
    def counted() -> list[int]:
        counters = simulator.counters()
        return [counters[f"recalls_{name}"] for name in ("queued", "active", "finished", "failed")]

    simulator.set("files_per_volume", 1)
    simulator.set("mount_seconds", 100)
    simulator.set("drives", 1)
    paths = on_tape(3)
    simulator.damage(paths[0])
    for path in paths:
        client.stage(path, ID)
    told = [counted()]
    for _ in range(3):
        simulator.advance(101)
        told.append(counted())
    assert told == [[2, 1, 0, 0], [1, 1, 0, 1], [0, 1, 1, 1], [0, 0, 2, 1]]
