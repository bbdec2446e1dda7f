"""Put a directory tree and one large file into an archive from eight threads, read all back and compare.

    python -m tests.project.tree_roundtrip URL DIRECTORY --large 2147483648 --pid PID

The files get the ids from ``--first`` on, the large one the first of them. Exits with 1 when a single
byte differs. With the process id of the server it also tells the memory of the server's processes.
"""

import argparse
import hashlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

from post_deployment_tests.deployment_test import Stream

THREADS = 8
BLOCK_SIZE = 1 << 20  # bytes
TIMEOUT = 600  # seconds without a byte
_of_thread = threading.local()


@dataclass(frozen=True)
class Item:
    """What is put under an id: a file, or the large stream."""

    url: str
    source: Path | Stream

    def __len__(self) -> int:
        return self.source.stat().st_size if isinstance(self.source, Path) else len(self.source)

    def __iter__(self) -> Iterator[bytes]:
        if isinstance(self.source, Stream):
            yield from self.source
            return
        with self.source.open("rb") as file:
            yield from iter(lambda: file.read(BLOCK_SIZE), b"")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the round trip, print what came of it, and return 0 when nothing differs."""
    given = _parser().parse_args(arguments)
    sources = _sources(given.directory, given.large)
    items = [Item(f"{given.url}/{given.first + number}", source) for number, source in enumerate(sources)]
    print(f"{len(items)} files, {sum(map(len, items))} bytes, the largest {max(map(len, items))} bytes")
    _of_all("put", _put, items)
    if given.pid:
        print(_peak_memory("after the puts", given.pid))
    equal = _of_all("read back", _is_equal, items)
    if given.pid:
        print(_peak_memory("in the end", given.pid))
    print(f"{equal.count(False)} differences")
    return int(not all(equal))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tree_roundtrip", description=__doc__.partition("\n")[0])
    parser.add_argument("url", type=lambda text: text.rstrip("/"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--large", type=int, default=1 << 30, metavar="BYTES", help="size of the large file")
    parser.add_argument("--first", type=int, default=1, metavar="ID", help="id of the first file")
    parser.add_argument("--pid", type=int, help="process id of the server, to measure its memory")
    return parser


def _sources(directory: Path, large: int) -> list[Path | Stream]:
    paths = (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink())
    return [Stream(large), *paths]


def _of_all(what: str, action: Callable[[Item], bool], items: Sequence[Item]) -> list[bool]:
    start = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        outcome = list(pool.map(action, items))
    print(f"{what} from {THREADS} threads in {time.monotonic() - start:.1f} s")
    return outcome


def _put(item: Item) -> bool:
    response = _session().put(item.url, data=item, timeout=TIMEOUT)
    response.raise_for_status()
    return int(response.json()["total_bytes"]) == len(item)


def _is_equal(item: Item) -> bool:
    with _session().get(item.url, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        return _digest(response.iter_content(BLOCK_SIZE)) == _digest(item)


def _session() -> requests.Session:
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
    session: requests.Session = _of_thread.session
    return session


def _digest(blocks: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.digest()


def _peak_memory(when: str, pid: int) -> str:
    family = _family(pid)
    peaks = [_kilobytes(process, "status", "VmHWM") / 1024 for process in family]  # MiB
    # A page that processes share is in the peak of each of them, but in this sum only once.
    memory = sum(_kilobytes(process, "smaps_rollup", "Pss") for process in family) / 1024
    return (
        f"memory {when}: peak {max(peaks):.1f} MiB in the largest of {len(peaks)} processes, "
        f"sum of all peaks {sum(peaks):.1f} MiB, in use without counting shared pages twice {memory:.1f} MiB"
    )


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _kilobytes(pid: int, file: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    assert found, f"process {pid} has ended"
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
