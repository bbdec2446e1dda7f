"""Whether the service slows down, or grows, with the number of files in its archive."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pacifica.archiveinterface.id2filename import id2filename

from .bytes_alone import sync_file_system
from .load import curl, wrk
from .running import Running
from .services import UWSGI, service

LAYOUTS = {"flat": False, "use_id2filename": True}
CLIENTS = 8

_KINDS = ("GET", "HEAD", "PUT")
_SIZE = 1024  # bytes of each file, a hole


def measure_growth(
    place: str, directory: Path, counts: Sequence[int], rounds: int, seconds: int
) -> Iterator[dict[str, Any]]:
    """Yield the rates in archives of so many files each, that take turns, in both layouts."""
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as home, ExitStack() as stack:
            # Also what wrk expects: all files are alike.
            Path(home, "1").write_bytes(bytes(_SIZE))
            archives = {count: _start(stack, Path(home), layout, count) for count in counts}
            sync_file_system(directory)
            for number in range(rounds):
                for kind in _KINDS:
                    for count, running in archives.items():
                        record = {"place": place, "layout": layout, "files": count, "kind": kind, "round": number}
                        yield {**record, **_measure(running, Path(home), layout, kind, count, seconds)}


def _start(stack: ExitStack, home: Path, layout: str, count: int) -> Running:
    contestant = service(UWSGI, options=f"[posix]\nuse_id2filename = {str(LAYOUTS[layout]).lower()}\n")
    running = stack.enter_context(contestant.running(home / str(count)))
    _fill(running, layout, count, home / "1")
    return running


def _measure(running: Running, home: Path, layout: str, kind: str, count: int, seconds: int) -> dict[str, Any]:
    running.forget_peak()
    found = wrk(running, [kind, home, 1, count], CLIENTS, seconds)
    found["peak_mebibytes"] = running.peak_mebibytes()
    # The archive is to have as many files as before.
    for file_id in range(found["first_new_id"], found["first_new_id"] + found["puts"] + CLIENTS + 1):
        with suppress(FileNotFoundError):
            os.unlink(_path(running, layout, file_id))
    return {"clients": CLIENTS, **found}


def _path(running: Running, layout: str, file_id: int) -> str:
    return f"{running.files}{id2filename(file_id)}" if LAYOUTS[layout] else f"{running.files}/{file_id}"


def _fill(running: Running, layout: str, count: int, content: Path) -> None:
    """Make the files 1 to *count*: the first through the service, the others as copies of it with its notes."""
    if curl(running, "1", "-T", str(content)) is None:
        raise RuntimeError("the first file could not be stored")
    first = _path(running, layout, 1)
    notes = {name: os.getxattr(first, name) for name in os.listxattr(first)}
    made: set[str] = set()
    for file_id in range(2, count + 1):
        path = _path(running, layout, file_id)
        parent = os.path.dirname(path)
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        _make_hole(path, notes)


def _make_hole(path: str, notes: dict[str, bytes]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.truncate(fd, _SIZE)
        for name, value in notes.items():
            os.setxattr(fd, name, value)
        os.fchmod(fd, 0o444)
    finally:
        os.close(fd)
