"""Which processes have started which."""

from contextlib import suppress
from pathlib import Path


def children(parent: int) -> list[int]:
    """Return the ids of the processes that *parent* has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            # After the name, which is in parentheses: the state and the parent.
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def descendants(ancestor: int) -> list[int]:
    """Return the ids of the processes that *ancestor* has started, and of those that these have started."""
    found = children(ancestor)
    for child in found:
        found += children(child)
    return found
