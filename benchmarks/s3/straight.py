"""Clients that go straight to the store: rclone, and boto3 in processes and threads of its own.

``python -m benchmarks.s3.straight JSON`` is the load by boto3: it is given the fields of `Load` and prints how many
requests were answered, in how many seconds, and how many were wrong.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from .bench_store import BUCKET, OTHERS, BenchStore
from .services import rclone, rclone_environment

_BLOCK = 1 << 20  # bytes
_IDS_EACH = 1_000_000  # more than one client can use
_ENOUGH = float(os.getenv("ENOUGH", "inf"))  # requests of a client: for those who try it, as in load.lua


@dataclass(frozen=True)
class Load:
    """*kind* of request (GET, PUT, large GET or large PUT) by *threads* in each of *processes*.

    *files* are read, or written under ids from *first* on: small ones one after the other during *seconds*, a large
    one once.
    """

    kind: str
    processes: int
    threads: int
    seconds: float
    files: list[str]
    first: int
    endpoint: str


def boto3_load(store: BenchStore, load: Load) -> dict[str, Any]:
    """Return what processes of their own find."""
    command = [sys.executable, "-m", "benchmarks.s3.straight", json.dumps(asdict(load))]
    environment = {**os.environ, "AWS_SHARED_CREDENTIALS_FILE": str(store.credentials_file)}
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found


def rclone_get(store: BenchStore, file_id: int, streams: int) -> dict[str, Any]:
    """Let each of some rclones read the object once."""
    return _rclones(store, [["cat", f"store:{BUCKET}/{OTHERS}{file_id}"]] * streams)


def rclone_put(store: BenchStore, source: Path, ids: list[int]) -> dict[str, Any]:
    """Let one rclone for each of the *ids* write the file."""
    return _rclones(store, [["copyto", str(source), f"store:{BUCKET}/{OTHERS}{file_id}"] for file_id in ids])


def _rclones(store: BenchStore, arguments: list[list[str]]) -> dict[str, Any]:
    environment = {**os.environ, **rclone_environment(store)}

    def run(given: list[str]) -> int:
        return subprocess.run([rclone(), *given], env=environment, stdout=subprocess.DEVNULL, check=False).returncode

    began = time.monotonic()
    with ThreadPoolExecutor(len(arguments)) as pool:
        wrong = sum(code != 0 for code in pool.map(run, arguments))
    return {"requests": len(arguments), "seconds": time.monotonic() - began, "wrong": wrong}


class _Client:
    """One thread's share of the load."""

    def __init__(self, load: Load, client: Any, number: int) -> None:
        """Take ids of its own by its *number* among all."""
        self._load, self._client = load, client
        self._ids = count(load.first + number * _IDS_EACH + 1)
        self._turn = number
        self._paths = [Path(name) for name in load.files]
        self._contents = {} if "large" in load.kind else {path: path.read_bytes() for path in self._paths}

    def run(self) -> tuple[int, int]:
        """Return how many requests were answered, and how many wrong."""
        act = {"GET": self._get, "PUT": self._put, "large GET": self._large_get, "large PUT": self._large_put}
        end = time.monotonic() + (0 if "large" in self._load.kind else self._load.seconds)
        requests = wrong = 0
        while not requests or (requests < _ENOUGH and time.monotonic() < end):
            self._turn += 1
            path = self._paths[self._turn % len(self._paths)]
            wrong += not act[self._load.kind](path)
            requests += 1
        return requests, wrong

    def _get(self, path: Path) -> bool:
        answer = self._client.get_object(Bucket=BUCKET, Key=f"{OTHERS}{path.name}")
        return bool(answer["Body"].read() == self._contents[path])

    def _put(self, path: Path) -> bool:
        key = f"{OTHERS}{next(self._ids)}"
        self._client.put_object(Bucket=BUCKET, Key=key, Body=self._contents[path])
        return True

    def _large_get(self, path: Path) -> bool:
        body = self._client.get_object(Bucket=BUCKET, Key=f"{OTHERS}{path.name}")["Body"]
        return sum(map(len, body.iter_chunks(_BLOCK))) == path.stat().st_size

    def _large_put(self, path: Path) -> bool:
        self._client.upload_file(str(path), BUCKET, f"{OTHERS}{next(self._ids)}")
        return True


def _work(load: Load, process: int, barrier: Barrier, answers: "SimpleQueue[tuple[int, int]]") -> None:
    config = Config(s3={"addressing_style": "path"}, max_pool_connections=max(10, load.threads))
    client = boto3.client("s3", endpoint_url=load.endpoint, region_name="us-east-1", config=config)
    client.head_bucket(Bucket=BUCKET)
    clients = [_Client(load, client, process * load.threads + number) for number in range(load.threads)]
    barrier.wait()
    with ThreadPoolExecutor(load.threads) as pool:
        found = list(pool.map(_Client.run, clients))
    answers.put((sum(requests for requests, _ in found), sum(wrong for _, wrong in found)))


def main() -> None:
    """Be the load; the time counts once all clients are connected."""
    load = Load(**json.loads(sys.argv[1]))
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(load.processes + 1)
    answers: SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    workers = [context.Process(target=_work, args=(load, number, barrier, answers)) for number in range(load.processes)]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.monotonic()
    found = [answers.get() for _ in workers]
    seconds = time.monotonic() - began
    for worker in workers:
        worker.join()
    print(json.dumps({"requests": sum(f[0] for f in found), "seconds": seconds, "wrong": sum(f[1] for f in found)}))


if __name__ == "__main__":
    main()
