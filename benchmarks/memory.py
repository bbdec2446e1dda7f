"""What many large transfers at a time add to the memory of the service."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from .load import curl
from .running import Running
from .seed import put
from .services import LAUNCHER, UWSGI, service

TRANSFERS = 32  # half of them uploads, half downloads

WARM_UP = 400  # small requests


def measure_memory(place: str, directory: Path, mebibytes: int, warming: int) -> Iterator[dict[str, Any]]:
    """Yield, for both ways to start the service, what it had resident before and at most during the transfers."""
    for name in (UWSGI, LAUNCHER):
        with (
            tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as home,
            service(name).running(Path(home, "service")) as running,
        ):
            yield {"place": place, "service": name, **_transfers(running, Path(home), mebibytes, warming)}


def _transfers(running: Running, home: Path, mebibytes: int, warming: int) -> dict[str, Any]:
    source = home / "source"
    with source.open("wb") as file:
        file.truncate(mebibytes << 20)  # a hole: the disk has to hold no more than what is uploaded
    curl(running, "1", "-T", str(source))
    warm_up(running, warming)
    running.forget_peak()
    before = running.peak_mebibytes()
    with ThreadPoolExecutor(TRANSFERS) as pool:
        uploads = [pool.submit(curl, running, "2", "-T", str(source)) for _ in range(TRANSFERS // 2)]
        downloads = [pool.submit(curl, running, "1") for _ in range(TRANSFERS // 2)]
        failed = sum(upload.result() is None for upload in uploads)
        failed += sum(download.result() != mebibytes << 20 for download in downloads)
    return {
        "transfers": TRANSFERS,
        "mebibytes": mebibytes,
        "before_mebibytes": before,
        "peak_mebibytes": running.peak_mebibytes(),
        "wrong": failed,
    }


def warm_up(running: Running, requests: int) -> None:
    """Put and get small files, as many at a time, until every worker and most threads have met both."""
    with ThreadPoolExecutor(TRANSFERS) as pool:
        for number in range(requests):
            url = f"{running.url}{100 + number // 2 % TRANSFERS}"
            pool.submit(_get, url) if number % 2 else pool.submit(put, url, b"small")


def _get(url: str) -> None:
    with urlopen(url) as answer:
        answer.read()
