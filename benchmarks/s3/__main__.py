"""Measure and write the ratios: ``python -m benchmarks.s3 DIRECTORY``; `make bench-s3` does.

All services run at the same time on the same objects of one store and take turns, as do the clients that go straight
to the store. Only ratios within one round mean something.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..load import Work
from ..memory import WARM_UP, warm_up
from ..running import Contestant, Running, end_in_order
from ..seed import make_large, make_small, store_large, store_seed
from .bench_store import bench_store
from .memory import measure_memory
from .report import memory_table, ratio_table
from .services import services
from .turns import Site, measure, participants


@contextmanager
def site(directory: Path, sizes: Sequence[str], mebibytes: int, warming: int) -> Iterator[Site]:
    """Run the store and the services below *directory*, with the same files in all of them, each warmed up."""
    with tempfile.TemporaryDirectory(prefix="bench-s3-", dir=directory) as name, ExitStack() as stack:
        home = Path(name)
        make_small(home / "seed", sizes)
        make_large(home / "seed", mebibytes << 20)
        store = stack.enter_context(bench_store(home / "store"))
        store.put(home / "seed")
        running: dict[str, tuple[Contestant, Running]] = {}
        for number, contestant in enumerate(services(store)):
            started = stack.enter_context(contestant.running(home / str(number)))
            if not running:
                store_seed(started, home / "seed")
                store_large(started, home / "seed")
            warm_up(started, warming)
            running[contestant.name] = (contestant, started)
        yield Site(store, home / "seed", running)


def works(given: argparse.Namespace) -> list[Work]:
    """Return what is asked of all, in turn."""
    large = f"{given.mebibytes} MiB"
    small = [Work(kind, size, clients) for kind in given.kinds for size in given.sizes for clients in given.clients]
    return small + [Work(f"large {kind}", large, streams) for kind in given.kinds for streams in given.streams]


def rounds(place: Site, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a record for each turn; another participant begins each round."""
    for number in range(given.rounds):
        for work in works(given):
            names = participants(work)
            start = number % len(names)
            for name in names[start:] + names[:start]:
                found = measure(place, work, name, given.seconds)
                yield {"work": str(work), "clients": work.clients, "participant": name, "round": number, **found}


def main() -> None:
    """Measure, print each record as JSON, and write the tables; exit with 1 if an answer or object was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.s3", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the store keeps its data, some GiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of a turn with small files")
    parser.add_argument("--kinds", nargs="+", default=["GET", "PUT"], choices=["GET", "PUT"], help="of request")
    parser.add_argument("--sizes", nargs="*", default=["1 KiB", "1 MiB"], help="of small files")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--warming", type=int, default=WARM_UP, help="requests that each service is warmed up with")
    parser.add_argument("--mebibytes", type=int, default=1024, help="of the large file")
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 2], help="of large files")
    parser.add_argument("--memory", type=int, nargs="*", default=[256, 1024], help="MiB of the files to see memory by")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks-s3"), help="directory of the results")
    given = parser.parse_args()
    end_in_order()
    with site(given.directory.absolute(), given.sizes, given.mebibytes, given.warming) as running:
        records = [_told(record) for record in rounds(running, given)]
        memory = [_told(record) for record in measure_memory(running, given.memory)]
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps({"rates": records, "memory": memory}, indent=1))
    (given.out / "s3-tables.md").write_text(f"{ratio_table(records)}\n\n{memory_table(memory)}\n")
    if wrong := sum(record["wrong"] for record in [*records, *memory]):
        sys.exit(f"{wrong} answers or objects were wrong")


def _told(record: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(record), flush=True)
    return record


if __name__ == "__main__":
    main()
