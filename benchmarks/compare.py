"""The comparison: ``python -m benchmarks.compare``; `make bench` sets up what it needs.

Every service runs at the same time and waits while the others take their turns in short rounds, so
that a busy minute of the machine meets all of them alike. Only ratios within one run mean something.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .about import about, available_memory, file_system
from .bytes_alone import measure_bytes_alone, sync_file_system
from .goals import ROUNDS_FOR_A_VERDICT
from .growth import measure_growth
from .load import Work, measure
from .memory import TRANSFERS, WARM_UP, measure_memory
from .report import write_report
from .running import Contestant, Running, end_in_order
from .seed import LARGE_ID, SIZES, make_seed, store_large, store_seed
from .services import OF_A_CHANGE, contestants

CLIENTS = (1, 8, 32)
STREAMS = (1, 4)

_TYPICAL = 8  # connections
_GIB = 1 << 30
_SMALL_FILES = 4 * _GIB  # bytes that one turn may put, or so


@dataclass(frozen=True)
class Form:
    """How much is measured: *seconds* a turn, *large* and *memory* MiB of large files, *growth* numbers of files.

    *warming*: requests before the memory is looked at.
    """

    rounds: int
    seconds: int
    large: int
    memory: int
    growth: Sequence[int]
    warming: int = WARM_UP

    def large_name(self) -> str:
        """Return the size of the large file as tables show it."""
        return f"{self.large // 1024} GiB" if self.large % 1024 == 0 else f"{self.large} MiB"


_FULL = Form(rounds=ROUNDS_FOR_A_VERDICT, seconds=1, large=1024, memory=1024, growth=(10, 10_000, 1_000_000))
_QUICK = Form(rounds=1, seconds=1, large=64, memory=16, growth=(10, 10_000))
_TRIAL = Form(rounds=1, seconds=1, large=4, memory=1, growth=(10, 100), warming=40)


def main() -> None:
    """Measure and write the results; exit with 1 if an answer was wrong."""
    given = _arguments()
    end_in_order()
    form = given.form or Form(**{**vars(_FULL), "rounds": given.rounds})
    places = dict(place.split("=", 1) for place in given.place)
    places = {name: Path(directory).absolute() for name, directory in places.items()}
    for directory in places.values():
        directory.mkdir(parents=True, exist_ok=True)
        _check_space(directory, form, given.before)
    begin = time.monotonic()
    results = {
        "about": {**about(places, given.before), **vars(form), "quick": given.form is not None, "change": given.change}
    }
    results |= _measured(places, form, given)
    results["about"]["minutes"] = round((time.monotonic() - begin) / 60, 1)
    write_report(results, given.out)
    print(f"written to {given.out}")
    if wrong := _wrong(results):
        sys.exit(f"{wrong} answers or files were wrong")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare")
    parser.add_argument(
        "--place", action="append", required=True, help="name=directory on the file system of interest; may be repeated"
    )
    parser.add_argument("--rounds", type=int, default=_FULL.rounds, help="turns of each service at each kind of work")
    of_form: dict[str, Any] = {"dest": "form", "action": "store_const"}
    parser.add_argument("--quick", **of_form, const=_QUICK, help="the smallest sensible run, one round in two minutes")
    parser.add_argument("--trial", **of_form, const=_TRIAL, help="as --quick, with so few data that no rate counts")
    parser.add_argument(
        "--change", action="store_true", help="only the work and the services that show what a change has changed"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="SERVICE", help="one to compare; may be repeated"
    )
    parser.add_argument(
        "--before", type=_checkout, help="a checkout of another revision of this service, to compare with"
    )
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="directory of the results")
    return parser.parse_args()


def _checkout(text: str) -> Path:
    path = Path(text).resolve()
    if not (path / "pacifica/archiveinterface").is_dir():
        raise argparse.ArgumentTypeError(f"{path} is not a checkout of this service")
    return path


def _check_space(directory: Path, form: Form, before: Path | None) -> None:
    """Exit unless *directory* has room for the files of all services, and for the uploads after them."""
    keepers = sum("large GET" in contestant.kinds for contestant in contestants(directory, before))
    compared = (1 + keepers + max(STREAMS)) * form.large  # the seed, what is stored of it, and what is put at a time
    needed = (max(compared, (TRANSFERS // 2 + 2) * form.memory) << 20) + _SMALL_FILES
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if file_system(directory) == "tmpfs":
        free = min(free, available_memory())
    if free < needed:
        sys.exit(f"{directory} has {free / _GIB:.0f} GiB free, {needed / _GIB:.0f} GiB are needed")


def _measured(places: Mapping[str, Path], form: Form, given: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {"records": [], "bytes alone": [], "growth": [], "memory": []}
    for place, directory in places.items():
        is_first = place == next(iter(places))
        works = _works_of_a_change(form) if given.change else _works(form, given.form is not None, is_first)
        only = given.only or (OF_A_CHANGE if given.change else ())
        with _all_running(directory, form, works, only, given.before) as (seed, services):
            results["bytes alone"] += _told(measure_bytes_alone(place, seed / str(LARGE_ID), form.rounds))
            for work in works:
                results["records"] += _told(_take_turns(place, work, services, seed, form))
    if given.change:
        return results
    # Neither depends on the place as rates do; the last one has inodes and blocks to find.
    results["memory"] += _told(measure_memory(place, directory, form.memory, form.warming))
    results["growth"] += _told(measure_growth(place, directory, form.growth, form.rounds, form.seconds))
    return results


def _works(form: Form, quick: bool, first_place: bool) -> list[Work]:
    """Return what is asked of the services, in turn.

    All of it in the first place. Reads come from memory everywhere: a few show it for the others.
    """
    if quick:
        kinds = ("GET", "HEAD", "PUT", "range", "mixed") if first_place else ("PUT",)
        return [*(_small(kind, "1 KiB", _TYPICAL) for kind in kinds), *_large_works(form, STREAMS[:1], STREAMS[:1])]
    puts = [Work("PUT", size, clients) for size in SIZES for clients in CLIENTS]
    if not first_place:
        reads = [_small(kind, "1 KiB", _TYPICAL) for kind in ("GET", "HEAD", "range", "mixed")]
        return [*reads, *puts, *_large_works(form, STREAMS, STREAMS[:1])]
    reads = [Work(kind, size, clients) for kind in ("GET", "range") for size in SIZES for clients in CLIENTS]
    reads += [_small(kind, "1 KiB", clients) for kind in ("HEAD", "mixed") for clients in CLIENTS]
    return [*reads, *puts, *_large_works(form, STREAMS, STREAMS)]


def _works_of_a_change(form: Form) -> list[Work]:
    small = [Work(kind, "1 KiB", clients) for kind in ("GET", "HEAD", "PUT") for clients in CLIENTS]
    return [*small, *_large_works(form, STREAMS[:1], STREAMS[:1])]


def _small(kind: str, size: str, clients: int) -> Work:
    return Work(kind, "" if kind == "mixed" else size, clients)


def _large_works(form: Form, puts: Sequence[int], gets: Sequence[int]) -> list[Work]:
    name = form.large_name()
    return [Work("large PUT", name, count) for count in puts] + [Work("large GET", name, count) for count in gets]


@contextmanager
def _all_running(
    directory: Path, form: Form, works: Sequence[Work], only: Collection[str], before: Path | None
) -> Iterator[tuple[Path, list[tuple[Contestant, Running]]]]:
    """Start the services that have something to do below *directory*, with the same files stored in each."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as home, ExitStack() as stack:
        seed = Path(home, "seed")
        make_seed(seed, form.large << 20)
        running = []
        for number, contestant in enumerate(contestants(seed, before)):
            if (only and contestant.name not in only) or not _takes_part(contestant, works):
                continue
            started = stack.enter_context(contestant.running(Path(home, str(number))))
            if "GET" in contestant.kinds and contestant.keeps_files:
                store_seed(started, seed)
            if "large GET" in contestant.kinds:
                store_large(started, seed)
            running.append((contestant, started))
        yield seed, running


def _takes_part(contestant: Contestant, works: Sequence[Work]) -> bool:
    """Tell whether it has something to do; the floors are there to measure reads by."""
    reads = [work for work in works if work.kind == "GET"]
    return any(work.is_for(contestant) for work in (works if contestant.keeps_files else reads))


def _take_turns(
    place: str, work: Work, services: list[tuple[Contestant, Running]], seed: Path, form: Form
) -> Iterator[dict[str, Any]]:
    able = [(contestant, running) for contestant, running in services if work.is_for(contestant)]
    for number in range(form.rounds):
        # Another one begins each round: none always comes after the same neighbour's leftovers alone.
        for contestant, running in able[number:] + able[:number]:
            sync_file_system(seed)
            running.forget_peak()
            found = measure(contestant, running, work, seed, form.seconds)
            found["peak_mebibytes"] = running.peak_mebibytes()
            record = {"place": place, "work": str(work), "clients": work.clients, "service": running.name}
            yield {**record, "round": number, **found}


def _told(records: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pass *records* on, and print what they say as they come."""
    for record in records:
        names = ("place", "what", "layout", "files", "work", "kind", "clients", "service", "round")
        found = [str(record[name]) for name in names if name in record]
        found += [f"{record['rate']:.0f}"] if "rate" in record else [f"{record['peak_mebibytes']:.0f} MiB"]
        found += [f"WRONG: {record['wrong']} {record.get('example', '')}"] if record.get("wrong") else []
        print(*found, sep=", ", flush=True)
        yield record


def _wrong(results: Mapping[str, Any]) -> int:
    return sum(record["wrong"] for name in ("records", "growth", "memory") for record in results[name])


if __name__ == "__main__":
    main()
