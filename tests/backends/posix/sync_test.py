"""What is synced, and in which order: each file before it gets its name, each directory before the client is told.

A power cut shows what one file system loses; this holds for file systems that put their changes in no order, too.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.posix.ordeals import ORDEALS, Ordeal, calls_of, ids_of, site_in
from tests.support.tracing import DISK_CALLS, Call, require_tracing, traced

CALLS = (*DISK_CALLS, "sendto")  # the last tells the client
FILE_CHANGES = ("write", "pwrite64", "fallocate", "ftruncate", "fchmod", "utimensat", "fsetxattr", "fremovexattr")
NAME_CHANGES = ("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat")
_OPEN = re.compile(r"\d+<(/[^>]*)>(?:, \"([^\"]*)\")?")


@pytest.fixture(autouse=True)
def _traceable() -> None:
    require_tracing()


@pytest.mark.parametrize("ordeal", ORDEALS, ids=str)
def test_all_is_synced_before_it_is_told(tmp_path: Path, far: Path, ordeal: Ordeal) -> None:
    with site_in(tmp_path, far, ordeal.options) as site:
        calls = calls_of(ordeal, site, ids_of(ordeal), CALLS)
    faults = list(unsynced(calls))
    assert not faults, "\n".join(faults)
    assert calls


def test_directories_of_one_name_in_two_trees_are_synced_each(tmp_path: Path, far: Path) -> None:
    with site_in(tmp_path, far) as site:
        # 0x10203 -> /03/02/10203
        for file_id, root in enumerate((site.near, site.far), start=0xFF01):
            (root / "03" / "02").mkdir(parents=True)
            (root / "03" / "02" / "upload").write_bytes(b"moved")
            answer = site.request("PATCH", file_id, json={"path": str(root / "03" / "02" / "upload")})
            assert answer is not None
            assert answer.ok
        with traced(site.server.pid, CALLS) as trace:
            site.put(0x10203, b"new")
    faults = list(unsynced(trace.calls))
    assert not faults, "\n".join(faults)


def test_a_directory_that_was_removed_and_made_again_is_synced_again(tmp_path: Path, far: Path) -> None:
    with site_in(tmp_path, far) as site:
        site.put(0x10203, b"first")
        shutil.rmtree(site.prefix / "03")
        with traced(site.server.pid, CALLS) as trace:
            site.put(0x10203, b"second")
    faults = list(unsynced(trace.calls))
    assert not faults, "\n".join(faults)


def unsynced(calls: list[Call]) -> Iterator[str]:
    """Yield what could be lost: files that were published unsynced, changes unsynced when their client was told."""
    changed: dict[tuple[str, str], Call] = {}  # by path and thread
    for call in calls:
        found = [(directory, f"{directory}/{name}") for directory, name in _OPEN.findall(call.text)]
        if "= -1 " in call.text:
            continue
        if call.name == "sendto":
            yield from (f"{path}: {change}" for (path, thread), change in changed.items() if thread == call.thread)
        elif call.name in ("fsync", "fdatasync"):
            changed = {key: change for key, change in changed.items() if key[0] != found[0][0]}
        elif call.name in FILE_CHANGES:
            changed[found[0][0], call.thread] = call
        elif call.name in NAME_CHANGES:
            change = changed.pop((found[0][1], call.thread), None)
            if call.name.startswith(("unlink", "rename")) and not found[0][0].endswith("/.partial"):
                change = change or copied_elsewhere(changed, call, found[0][0])
            if change:
                yield f"{found[0][1]} was published or removed before this was synced: {change}"
            kept = [directory for directory, _ in found if not directory.endswith("/.partial")]
            changed |= {(directory, call.thread): call for directory in kept}


def copied_elsewhere(changed: dict[tuple[str, str], Call], removal: Call, directory: str) -> Call | None:
    """Return a change to another file system than that of *directory*, from which the thread removes a file."""
    others = (
        change
        for (path, thread), change in changed.items()
        if thread == removal.thread and device(path) != device(directory)
    )
    return next(others, None)


def device(path: str) -> int:
    """Return the file system that *path* is, or was, on."""
    place = Path(path)
    while not place.exists():
        place = place.parent
    return os.stat(place).st_dev
