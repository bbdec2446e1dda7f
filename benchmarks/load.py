"""Load by wrk and curl, one measurement at a time, and the check that every answer was right."""

import hashlib
import itertools
import json
import os
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .services import Contestant, Running

FIRST_NEW_ID = 1_000_000  # lower ones are there from the start
SIZES = {"1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20}
LARGE_ID = 999
_FILES_EACH = 20
_RANGE_OFFSET = 4096
_RANGE_FILE = 9000
_SCRIPT = Path(__file__).with_name("load.lua")

_new_ids = itertools.count(FIRST_NEW_ID, 100_000_000)


@dataclass(frozen=True)
class Work:
    """*clients* connections that ask for *kind* (GET, HEAD, PUT, range, mixed, or large with a verb) of *size* bytes."""

    kind: str
    size: str
    clients: int
    verb: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.verb or self.kind, self.size) if part)


def make_seed(seed: Path, large: int) -> None:
    """Make the files that every service starts with, in a directory for each size, and the *large* one of so many bytes."""
    for number, size in enumerate(SIZES.values(), start=1):
        (seed / str(size)).mkdir(parents=True)
        for file_id in range(number * 1000, number * 1000 + _FILES_EACH):
            (seed / str(size) / str(file_id)).write_bytes(os.urandom(size))
    (seed / "range").mkdir()
    (seed / "range" / str(_RANGE_FILE)).write_bytes(os.urandom(_RANGE_OFFSET + 2 * SIZES["1 MiB"]))
    (seed / "mixed").mkdir()
    for size in ("1 KiB", "64 KiB"):
        for path in (seed / str(SIZES[size])).iterdir():
            number = 5000 + len(list((seed / "mixed").iterdir()))
            os.link(path, seed / "mixed" / str(number))
    block = os.urandom(1 << 20)
    with (seed / str(LARGE_ID)).open("wb") as file:
        for number in range(large >> 20):
            file.write(number.to_bytes(8, "big") + block[8:])


def store_seed(running: Running, seed: Path) -> None:
    """Put the small files of *seed* and read each back, many at a time. Raises ValueError for wrong bytes."""
    paths = list(seed.glob("*/*"))

    def put_and_get(path: Path) -> None:
        curl(running, path.name, "-T", str(path))
        check(running, path.name, path)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put_and_get, paths))


def store_large(running: Running, seed: Path) -> None:
    """Put the large file of *seed*. Raises ValueError unless it is stored as it is."""
    curl(running, str(LARGE_ID), "-T", str(seed / str(LARGE_ID)))
    command = f"curl -sf {running.url}{LARGE_ID} | cmp - {seed / str(LARGE_ID)}"
    if subprocess.run(command, shell=True, check=False).returncode:
        raise ValueError(f"{running.name}: the large file came with wrong bytes")


def check(running: Running, file_id: str, path: Path) -> None:
    """Raise ValueError unless the service answers with the bytes of *path*."""
    answer = subprocess.run(["curl", "-sf", running.url + file_id], stdout=subprocess.PIPE, check=True)
    if hashlib.sha256(answer.stdout).digest() != hashlib.sha256(path.read_bytes()).digest():
        raise ValueError(f"{running.name}: {file_id} came with wrong bytes")


def small(contestant: Contestant, running: Running, work: Work, seed: Path, seconds: int) -> dict[str, Any]:
    """Return rates, latencies and errors of *work* in small files, done for *seconds* by wrk."""
    size = SIZES.get(work.size, 0)
    numbers = dict(zip(SIZES, itertools.count(1)))
    directory, first, count = seed / str(size), 1000 * numbers.get(work.size, 1), _FILES_EACH
    if work.kind == "range":
        directory, first, count = seed / "range", _RANGE_FILE, 1
    elif work.kind == "mixed":
        directory, first, count = seed / "mixed", 5000, 2 * _FILES_EACH
    arguments = [work.kind, directory, first, count, _RANGE_OFFSET, size]
    found = wrk(running, arguments, work.clients, seconds, contestant.conditional_head)
    if work.kind == "PUT" and contestant.keeps_files:
        found.update(_judged_files(running, found, work.clients, size))
    _remove_new(running)
    return found


def wrk(
    running: Running, arguments: Sequence[object], clients: int, seconds: int, conditional_head: bool = False
) -> dict[str, Any]:
    """Return what wrk finds in *seconds* with the *arguments* of load.lua, and what it cost the service."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", _SCRIPT, running.url, "--"]
    environment = {**os.environ, "FIRST_NEW_ID": str(next(_new_ids))}
    if conditional_head:
        environment["CONDITIONAL_HEAD"] = "1"
    used = running.cpu_seconds()
    output = subprocess.run(
        [str(word) for word in (*command, *arguments)], env=environment, stdout=subprocess.PIPE, check=True
    ).stdout
    used = running.cpu_seconds() - used
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    found["rate"] = found["requests"] / found["seconds"]
    found["cpu_seconds_per_1000"] = 1000 * used / max(found["requests"], 1)
    return found


def _judged_files(running: Running, found: dict[str, Any], clients: int, size: int) -> dict[str, int]:
    """Return how many answers of PUT are belied by what is stored, and how many files are only in part there."""
    sizes = [path.stat().st_size for path in _new_files(running)]
    whole = sizes.count(size)
    # The last request of each client was cut off, before or after its file was stored.
    wrong = max(found["requests"] - whole, whole - found["requests"] - clients, 0)
    return {"wrong": found["wrong"] + wrong, "left behind": len(sizes) - whole}


def _new_files(running: Running) -> list[Path]:
    names = (name for name in os.listdir(running.files) if name.isdecimal() and int(name) >= FIRST_NEW_ID)
    return [running.files / name for name in names]


def _remove_new(running: Running) -> None:
    for path in _new_files(running):
        path.unlink()


def large(running: Running, work: Work, seed: Path) -> dict[str, Any]:
    """Return the rate of *work* in files as large as the seed's, done once by one curl a stream."""
    source = seed / str(LARGE_ID)
    os.sync()  # nobody pays for what another one left to be written
    used, begin = running.cpu_seconds(), time.monotonic()
    with ThreadPoolExecutor(work.clients) as pool:
        if work.verb == "PUT":
            ids = [str(next(_new_ids)) for _ in range(work.clients)]
            sizes = list(pool.map(lambda file_id: curl(running, file_id, "-T", str(source)), ids))
        else:
            ids = [str(LARGE_ID)] * work.clients
            sizes = list(pool.map(lambda file_id: curl(running, file_id), ids))
    seconds = time.monotonic() - begin
    used = running.cpu_seconds() - used
    size = source.stat().st_size
    wrong = sum(found != size for found in sizes)
    if work.verb == "PUT":
        wrong += sum(not _is_equal(running.files / file_id, source) for file_id in ids)
        _remove_new(running)
    total = size * work.clients
    return {
        "requests": work.clients,
        "seconds": seconds,
        "wrong": wrong,
        "rate": total / (1 << 20) / seconds,
        "cpu_seconds_per_gb": used / total * 1e9,
    }


def _is_equal(stored: Path, source: Path) -> bool:
    return subprocess.run(["cmp", "-s", stored, source], check=False).returncode == 0


def curl(running: Running, file_id: str, *options: str) -> int:
    """Ask for *file_id* with curl and the *options*; return how many bytes went either way but for answers to PUT.

    Raises CalledProcessError.
    """
    # Without the header, curl waits a second for uWSGI to invite a large body.
    command = ["curl", "-sf", "-H", "Expect:", "-o", "/dev/null", *options, running.url + file_id]
    written = "%{size_upload}" if "-T" in options else "%{size_download}"
    return int(subprocess.run([*command, "-w", written], check=True, capture_output=True).stdout)
