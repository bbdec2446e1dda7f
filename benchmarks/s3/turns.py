"""One turn of one participant at one kind of work, and the check that every answer and object was right."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..load import Work, curl, new_ids, wrk
from ..running import Contestant, Running
from ..seed import FILES_EACH, FIRST_NEW_ID, LARGE_ID, SIZES, comes_whole, first_id
from ..services import LAUNCHER, RCLONE, UWSGI
from .bench_store import OTHERS, OURS, BenchStore
from .services import PROCESSES
from .straight import Load, boto3_load, rclone_get, rclone_put

BOTO3_THREADS, BOTO3_PROCESSES = "boto3, threads of one process", "boto3, processes"
RCLONE_STRAIGHT = "rclone straight"
_MIB = 1 << 20
_CLIENT_IDS = 1_000_000


@dataclass(frozen=True)
class Site:
    """The store, the files that are in it from the start, and the services on top of it."""

    store: BenchStore
    seed: Path
    services: dict[str, tuple[Contestant, Running]]


def participants(work: Work) -> list[str]:
    """Return who does the *work*."""
    straight = [RCLONE_STRAIGHT] if work.kind.startswith("large") else [BOTO3_THREADS] if work.clients > 1 else []
    return [LAUNCHER, UWSGI, RCLONE, BOTO3_PROCESSES, *straight]


def measure(site: Site, work: Work, name: str, seconds: int) -> dict[str, Any]:
    """Return the rate of *name* at the *work*, in requests or MiB a second, and how much was wrong."""
    first = next(new_ids)
    try:
        if work.kind == "large PUT":
            return _large_put(site, work, name, first)
        if work.kind == "large GET":
            return _large_get(site, work, name)
        return _small(site, work, name, seconds, first)
    finally:
        site.store.remove_new(FIRST_NEW_ID)


def _small(site: Site, work: Work, name: str, seconds: int, first: int) -> dict[str, Any]:
    directory = site.seed / str(SIZES[work.size])
    ids = range(first_id(work.size), first_id(work.size) + FILES_EACH)
    last = directory / str(ids[-1])
    if name in site.services:
        contestant, running = site.services[name]
        found = wrk(
            running, [work.kind, directory, ids[0], len(ids)], work.clients, seconds, contestant.conditional_head
        )
        found["wrong"] += found["errors"]
    else:
        files = [str(directory / str(file_id)) for file_id in ids] if work.kind == "GET" else [str(last)]
        found = _boto3(site, work, name, seconds, files, first)
        found["puts"] = found["requests"]
    if work.kind == "PUT":
        right, others = site.store.judge(first, last.read_bytes())
        # When the end of the turn breaks off an upload, rclone may store what it has received of it.
        allowed = work.clients if name == RCLONE else 0
        found["wrong"] += max(found["puts"] - right, 0) + max(others - allowed, 0)
    return {"rate": found["requests"] / found["seconds"], "wrong": found["wrong"]}


def _boto3(site: Site, work: Work, name: str, seconds: int, files: list[str], first: int) -> dict[str, Any]:
    processes = 1 if name == BOTO3_THREADS else min(work.clients, PROCESSES)
    threads = -(-work.clients // processes)
    return boto3_load(site.store, Load(work.kind, processes, threads, seconds, files, first, site.store.endpoint))


def _large_get(site: Site, work: Work, name: str) -> dict[str, Any]:
    """Let each stream read the large file once, without looking at it; then look, once."""
    source = site.seed / str(LARGE_ID)
    size = source.stat().st_size
    if name == RCLONE_STRAIGHT:
        found = rclone_get(site.store, LARGE_ID, work.clients)
    elif name == BOTO3_PROCESSES:
        found = _boto3(site, work, name, 0, [str(source)], 0)
    else:
        running = site.services[name][1]
        found = _curls(work.clients, lambda _: curl(running, source.name) == size)
        found["wrong"] += not comes_whole(running.url + source.name, source)
    return _large_rate(found, size)


def _large_put(site: Site, work: Work, name: str, first: int) -> dict[str, Any]:
    """Let each stream write the large file once, and look at what is stored."""
    source = site.seed / str(LARGE_ID)
    ids = [first + 1 + number * _CLIENT_IDS for number in range(work.clients)]
    if name == RCLONE_STRAIGHT:
        found = rclone_put(site.store, source, ids)
    elif name == BOTO3_PROCESSES:
        found = _boto3(site, work, name, 0, [str(source)], first)
    else:
        running = site.services[name][1]
        found = _curls(work.clients, lambda number: curl(running, str(ids[number]), "-T", str(source)) is not None)
    directory = OURS if name in (LAUNCHER, UWSGI) else OTHERS
    found["wrong"] += site.store.count_wrong(directory, ids, source)
    return _large_rate(found, source.stat().st_size)


def _curls(streams: int, is_right: Callable[[int], bool]) -> dict[str, Any]:
    began = time.monotonic()
    with ThreadPoolExecutor(streams) as pool:
        outcomes = list(pool.map(is_right, range(streams)))
    return {"requests": streams, "seconds": time.monotonic() - began, "wrong": outcomes.count(False)}


def _large_rate(found: dict[str, Any], size: int) -> dict[str, Any]:
    return {"rate": found["requests"] * size / _MIB / found["seconds"], "wrong": found["wrong"]}
