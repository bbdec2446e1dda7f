"""Whether the service slows down, or grows, with the number of files in its archive."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from pacifica.archiveinterface.id2filename import id2filename

from .load import curl, wrk
from .services import UWSGI, Contestant, Running, contestants, service_environment

_KINDS = ("GET", "HEAD", "PUT")
_SIZE = 1024  # bytes of each file, a hole
_CLIENTS = 8


def measure_growth(
    place: str, directory: Path, counts: Sequence[int], rounds: int, seconds: int
) -> list[dict[str, Any]]:
    """Return the rates in archives of so many files each, that take turns, in both layouts."""
    records = []
    for layout, use_id2filename in (("flat", False), ("tree", True)):
        with tempfile.TemporaryDirectory(dir=directory) as home, ExitStack() as stack:
            content = Path(home, "1")
            content.write_bytes(bytes(_SIZE))
            archives: dict[int, Running] = {}
            for count in counts:
                service = _service(use_id2filename)
                archives[count] = stack.enter_context(service.running(Path(home, f"{layout}-{count}")))
                _fill(archives[count], count, use_id2filename, content)
            os.sync()
            for number in range(rounds):
                for kind in _KINDS:
                    for count, running in archives.items():
                        running.forget_peak()
                        found = wrk(running, [kind, home, 1, count], _CLIENTS, seconds)
                        found["peak_mebibytes"] = round(running.peak_mebibytes(), 1)
                        record = {"place": place, "layout": layout, "files": count, "kind": kind, "round": number}
                        print(record, round(found["rate"]), found["wrong"], flush=True)
                        records.append({**record, "clients": _CLIENTS, **found})
    return records


def _service(use_id2filename: bool) -> Contestant:
    original = next(contestant for contestant in contestants(Path("/nonexistent")) if contestant.name == UWSGI)
    options = f"[posix]\nuse_id2filename = {str(use_id2filename).lower()}\n"
    environment = partial(service_environment, options=options)
    return Contestant(original.name, original.command, original.kinds, environment)


def _fill(running: Running, count: int, use_id2filename: bool, content: Path) -> None:
    """Make the files 1 to *count*: the first through the service, the others as copies of it with its notes."""
    curl(running, "1", "-T", str(content))
    first = running.files / (id2filename(1)[1:] if use_id2filename else "1")
    notes = {name: os.getxattr(first, name) for name in os.listxattr(first)}
    made: set[str] = set()
    for file_id in range(2, count + 1):
        path = f"{running.files}{id2filename(file_id)}" if use_id2filename else f"{running.files}/{file_id}"
        parent = os.path.dirname(path)
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.truncate(fd, _SIZE)
        for name, value in notes.items():
            os.setxattr(fd, name, value)
        os.fchmod(fd, 0o444)
        os.close(fd)
