"""Load by wrk and curl, one measurement at a time, and the check that every answer was right."""

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

from .running import Contestant, Running
from .seed import (
    FILES_EACH,
    FIRST_MIXED,
    FIRST_NEW_ID,
    LARGE_ID,
    MIXED_SIZES,
    RANGE_FILE,
    RANGE_OFFSET,
    SIZES,
    comes_whole,
    first_id,
)

_IDS_EACH = 100_000_000  # more than one measurement can use
_MIB = 1 << 20
_SCRIPT = Path(__file__).with_name("load.lua")

new_ids = itertools.count(FIRST_NEW_ID, _IDS_EACH)


@dataclass(frozen=True)
class Work:
    """*clients* connections that ask for *kind* (GET, HEAD, PUT, range, mixed, large GET or large PUT) of *size*."""

    kind: str
    size: str
    clients: int

    def __str__(self) -> str:
        if self.kind == "mixed":
            return "mixed"
        return f"{'ranged GET' if self.kind == 'range' else self.kind.removeprefix('large ')} {self.size}"

    def is_for(self, contestant: Contestant) -> bool:
        """Tell whether the contestant is to do it."""
        return self.kind in contestant.kinds and (not contestant.sizes or self.size in contestant.sizes)


def measure(contestant: Contestant, running: Running, work: Work, seed: Path, seconds: int) -> dict[str, Any]:
    """Return rates, latencies, errors and costs of *work*; that in small files is done for *seconds*.

    ``wrong`` counts answers and stored files that were not right; ``errors`` connections that failed.
    """
    if work.kind == "large GET":
        return _large_get(running, work, seed)
    if work.kind == "large PUT":
        return _large_put(running, work, seed)
    return _small(contestant, running, work, seed, seconds)


def _small(contestant: Contestant, running: Running, work: Work, seed: Path, seconds: int) -> dict[str, Any]:
    directory, first, count = _files_of(work)
    arguments = [work.kind, seed / directory, first, count, RANGE_OFFSET, SIZES.get(work.size, 0)]
    found = wrk(running, arguments, work.clients, seconds, contestant.conditional_head)
    if contestant.keeps_files and work.kind in ("PUT", "mixed"):
        body = (seed / directory / str(first + count - 1)).read_bytes()  # load.lua puts the last
        found["wrong"] += _judged_files(running, found, work.clients, body)
    return found


def _files_of(work: Work) -> tuple[str, int, int]:
    """Return the directory of the seed with the files that *work* is done with, the first one's id and their number."""
    if work.kind == "range":
        return "range", RANGE_FILE, 1
    if work.kind == "mixed":
        return "mixed", FIRST_MIXED, FILES_EACH * len(MIXED_SIZES)
    return str(SIZES[work.size]), first_id(work.size), FILES_EACH


def wrk(
    running: Running, arguments: Sequence[object], clients: int, seconds: int, conditional_head: bool = False
) -> dict[str, Any]:
    """Return what wrk finds in *seconds* with the *arguments* of load.lua, and what it cost the service.

    ``first_new_id`` is the one after which PUT has taken its ids in order.
    """
    first = next(new_ids)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", _SCRIPT, running.url, "--"]
    environment = {**os.environ, "FIRST_NEW_ID": str(first)}
    if conditional_head:
        environment["CONDITIONAL_HEAD"] = "1"
    used = running.cpu_seconds()
    output = subprocess.run(
        [str(word) for word in (*command, *arguments)], env=environment, stdout=subprocess.PIPE, check=True
    ).stdout
    used = running.cpu_seconds() - used
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    # wrk takes the end of an answer without Content-Length for a failed read, though it has all of it.
    failed_reads = max(found.pop("read") - found["lengthless"], 0)
    found["errors"] = failed_reads + found.pop("connect") + found.pop("write") + found.pop("timeout")
    found["rate"] = found["requests"] / found["seconds"]
    found["cpu_seconds_per_1000"] = 1000 * used / max(found["requests"], 1)
    found["first_new_id"] = first
    return found


def _judged_files(running: Running, found: dict[str, Any], clients: int, body: bytes) -> int:
    """Return how many answers to PUT are belied by what is stored; remove that."""
    right = damaged = cut_off = 0
    for path in _new_files(running):
        # Read once: what wrk left in the middle may still be written.
        content = path.read_bytes()
        path.unlink()
        if int(path.name) <= found["first_new_id"]:
            continue  # such a late one of the turn before
        right += content == body
        cut_off += content != body and body.startswith(content)
        damaged += not body.startswith(content)
    puts: int = found["puts"]
    # The last request of each client was broken off, before or after its file was stored, or within.
    return damaged + max(puts - right, right - puts - clients, cut_off - clients, 0)


def _new_files(running: Running) -> list[Path]:
    names = [name for name in os.listdir(running.files) if name.isdecimal()]
    return [running.files / name for name in names if int(name) > FIRST_NEW_ID]


def _large_get(running: Running, work: Work, seed: Path) -> dict[str, Any]:
    """Let each stream get the large file once, without looking at it; then once more, and look."""
    source = seed / str(LARGE_ID)
    found, sizes = streams(running, [str(LARGE_ID)] * work.clients, source.stat().st_size)
    wrong = sum(size != source.stat().st_size for size in sizes)
    return {**found, "wrong": wrong + (not comes_whole(running.url + source.name, source))}


def _large_put(running: Running, work: Work, seed: Path) -> dict[str, Any]:
    """Let each stream put the large file once, and compare what is stored."""
    source = seed / str(LARGE_ID)
    ids = [str(next(new_ids)) for _ in range(work.clients)]
    found, _ = streams(running, ids, source.stat().st_size, "-T", str(source))
    stored = [running.files / file_id for file_id in ids]
    wrong = sum(subprocess.run(["cmp", "-s", path, source], check=False).returncode != 0 for path in stored)
    for path in stored:
        path.unlink(missing_ok=True)
    return {**found, "wrong": wrong}


def streams(running: Running, ids: list[str], size: int, *options: str) -> tuple[dict[str, Any], list[int]]:
    """Let one curl for each of the *ids* move *size* bytes; return what it cost, and how many bytes each got."""
    used, begin = running.cpu_seconds(), time.monotonic()
    with ThreadPoolExecutor(len(ids)) as pool:
        outcomes = list(pool.map(lambda file_id: curl(running, file_id, *options), ids))
    seconds = time.monotonic() - begin
    used = running.cpu_seconds() - used
    found = {
        "requests": len(ids),
        "seconds": seconds,
        "errors": sum(got is None for got in outcomes),
        "rate": size * len(ids) / _MIB / seconds,
        "cpu_seconds_per_gb": used / (size * len(ids)) * 1e9,
    }
    return found, [got or 0 for got in outcomes]


def curl(running: Running, file_id: str, *options: str) -> int | None:
    """Ask for *file_id* with curl and the *options*; return how many bytes came, None unless it went well."""
    # Without the header, curl waits a second for uWSGI to invite a large body.
    command = ["curl", "-sf", "-H", "Expect:", "-o", "/dev/null", "-w", "%{size_download}", *options]
    done = subprocess.run([*command, running.url + file_id], check=False, stdout=subprocess.PIPE)
    return None if done.returncode else int(done.stdout)
