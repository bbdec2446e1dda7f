"""The files that every service starts with, stored through its own door."""

import os
import subprocess
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .running import Running

SIZES = {"1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20}
FIRST_NEW_ID = 1_000_000_000  # lower ones are there from the start
FILES_EACH = 20
MIXED_SIZES = ("1 KiB", "64 KiB")
FIRST_MIXED = 5000
RANGE_FILE = 9000
RANGE_OFFSET = 4096  # bytes
LARGE_ID = 999

_MIB = 1 << 20
_BYTES = {"Content-Type": "application/octet-stream"}  # else urllib says that it is a form


def first_id(size: str) -> int:
    """Return the id of the first file of that *size*."""
    return 1000 * (1 + list(SIZES).index(size))


def make_seed(seed: Path, large: int) -> None:
    """Make a directory of files for each size, for ranges and for mixed work, and the large file of *large* bytes."""
    make_small(seed, SIZES)
    (seed / "range").mkdir()
    (seed / "range" / str(RANGE_FILE)).write_bytes(os.urandom(RANGE_OFFSET + 2 * max(SIZES.values())))
    _make_mixed(seed)
    make_large(seed, large)


def make_small(seed: Path, sizes: Iterable[str]) -> None:
    """Make a directory of files for each of the *sizes*."""
    seed.mkdir()
    for size in sizes:
        place = seed / str(SIZES[size])
        place.mkdir()
        for file_id in range(first_id(size), first_id(size) + FILES_EACH):
            (place / str(file_id)).write_bytes(os.urandom(SIZES[size]))


def _make_mixed(seed: Path) -> None:
    (seed / "mixed").mkdir()
    originals = [path for size in MIXED_SIZES for path in sorted((seed / str(SIZES[size])).iterdir())]
    for file_id, original in enumerate(originals, start=FIRST_MIXED):
        os.link(original, seed / "mixed" / str(file_id))


def make_large(seed: Path, size: int) -> None:
    """Make the large file of *size* bytes."""
    block = os.urandom(_MIB)
    with (seed / str(LARGE_ID)).open("wb") as file:
        for number in range(size // _MIB):  # no two blocks alike
            file.write(number.to_bytes(8, "big") + block[8:])


def store_seed(running: Running, seed: Path) -> None:
    """Put the small files of *seed* and read each back, many at a time. Raises ValueError for wrong bytes."""

    def put_and_get(path: Path) -> None:
        url, content = running.url + path.name, path.read_bytes()
        put(url, content)
        with urllib.request.urlopen(url) as answer:
            if answer.read() != content:
                raise ValueError(f"{running.name}: {path.name} came with wrong bytes")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put_and_get, seed.glob("*/*")))


def put(url: str, content: bytes) -> None:
    """Store *content* at *url*."""
    urllib.request.urlopen(urllib.request.Request(url, content, _BYTES, method="PUT")).close()


def store_large(running: Running, seed: Path) -> None:
    """Put the large file of *seed*. Raises ValueError unless it is stored as it is."""
    path = seed / str(LARGE_ID)
    url = running.url + path.name
    # Without the header, curl waits a second for uWSGI to invite a large body.
    subprocess.run(["curl", "-sf", "-H", "Expect:", "-o", "/dev/null", "-T", str(path), url], check=True)
    if not comes_whole(url, path):
        raise ValueError(f"{running.name}: the large file came with wrong bytes")


def comes_whole(url: str, path: Path) -> bool:
    """Tell whether a GET of *url* brings the bytes of *path*."""
    with subprocess.Popen(["curl", "-sf", url], stdout=subprocess.PIPE) as curl:
        compared = subprocess.run(["cmp", "-s", "-", str(path)], stdin=curl.stdout, check=False)
    return compared.returncode == 0 and curl.returncode == 0
