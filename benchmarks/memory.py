"""What many large transfers at a time add to the memory of the service."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .load import curl
from .services import LAUNCHER, UWSGI, Running, contestants

TRANSFERS = 32  # half of them uploads, half downloads


def measure_memory(place: str, directory: Path, mebibytes: int = 1024) -> list[dict[str, Any]]:
    """Return, for both ways to start the service, what it had resident before and at most during the transfers."""
    found = []
    for contestant in contestants(Path("/nonexistent")):
        if contestant.name in (UWSGI, LAUNCHER):
            with tempfile.TemporaryDirectory(dir=directory) as home, contestant.running(Path(home, "home")) as running:
                found.append({"place": place, "service": contestant.name, **_transfers(running, Path(home), mebibytes)})
                print(found[-1], flush=True)
    return found


def _transfers(running: Running, home: Path, mebibytes: int) -> dict[str, Any]:
    source = home / "source"
    with source.open("wb") as file:
        file.truncate(mebibytes << 20)  # a hole: the disk has to hold no more than what is uploaded
    curl(running, "1", "-T", str(source))
    for file_id in range(2, 50):  # let every worker have met every verb
        curl(running, str(file_id), "-T", "/proc/version")
        curl(running, str(file_id))
    running.forget_peak()
    before = running.peak_mebibytes()
    with ThreadPoolExecutor(TRANSFERS) as pool:
        uploads = [pool.submit(curl, running, "100", "-T", str(source)) for _ in range(TRANSFERS // 2)]
        downloads = [pool.submit(curl, running, "1") for _ in range(TRANSFERS // 2)]
        for transfer in uploads + downloads:
            transfer.result()
    return {
        "transfers": TRANSFERS,
        "MiB each": mebibytes,
        "resident before, MiB": round(before, 1),
        "resident at most, MiB": round(running.peak_mebibytes(), 1),
    }
