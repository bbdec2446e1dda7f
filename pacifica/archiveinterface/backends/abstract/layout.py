"""How ids become paths below the prefix: the two layouts, and the marker that says which one an archive has.

The marker is kept beside the files, where no id leads. It is the name of a layout, or while an archive is being
converted what `conversion` returns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext

from ...exception import FileIdError
from ...id2filename import parse_file_id
from .naming import id_of_path, name_of_path, path_of_id

FLAT, TREE = "flat", "tree"
LAYOUT = ".layout"  # below the prefix, on storage with directories; ids and plain file names start with no dot
PATH_OF: Mapping[str, Callable[[str], str]] = {FLAT: str, TREE: path_of_id}
"""By layout: what returns the path of an id."""


def id_in(layout: str, path: str) -> str | None:
    """Return the id whose path in *layout* is *path*, None when no id has it."""
    return id_of_path(path) if layout == TREE else _plain_id(path)


def _plain_id(path: str) -> str | None:
    try:
        return str(parse_file_id(path))
    except FileIdError:
        return None


def has_only_a_name(path: str) -> bool:
    """Return whether the file *path* can be asked for in the flat layout and has no id."""
    return name_of_path(path) is not None and id_in(FLAT, path) is None and id_in(TREE, path) is None


def is_directory_of_tree(name: str) -> bool:
    """Return whether a directory of the tree can have this *name*: one byte in hex."""
    return len(name) == 2 and not set(name) - set("0123456789abcdef")


def layouts_of(paths: Iterable[str]) -> dict[str, str]:
    """Return the layouts that the files *paths* have, each with a path as an example.

    A file whose name is not an id is left out: it may belong to the site, as a config.ini does.
    """
    return {layout: path for path in paths for layout in (FLAT, TREE) if id_in(layout, path) is not None}


def conversion(source: str, target: str) -> str:
    """Return the marker of an archive that is being converted from the layout *source* to *target*."""
    return f"{source}-to-{target}"


class LayoutKeeper(ABC):
    """Keeps the marker of one archive, and moves its files from one layout to the other.

    Paths are below the prefix. Each method may raise the errors of `exception`.
    """

    layouts: tuple[str, ...] = (TREE,)
    """What the backend can serve."""

    @abstractmethod
    def marker(self) -> str:
        """Return the marker; empty for none."""

    @abstractmethod
    def set_marker(self, marker: str, instead_of: str) -> None:
        """Set the marker if it is still *instead_of*; all moves before are on stable storage then.

        Raises ConflictError when it is another one.
        """

    @abstractmethod
    def sample(self) -> Iterable[str]:
        """Return paths of some of the files, by a number of calls that has a bound; all if they are few."""

    @abstractmethod
    def require_absent(self, path: str) -> None:
        """Raise ConflictError when anything has the *path*."""

    @abstractmethod
    def move(self, old: str, new: str) -> None:
        """Give the file at *old* the path *new*, with all that is kept with it, and recall nothing for that.

        A move that was killed is completed by the same call. Raises ConflictError when another file is at *new*.
        """

    def remove_empty_directories(self) -> None:
        """Remove directories of the tree in which nothing is left, on storage that has directories."""

    def serve(self) -> None:
        """Keep conversions off as long as this object lives. Raises ConflictError during one.

        Does nothing on storage without locks.
        """

    def converting(self) -> AbstractContextManager[None]:
        """Keep services and other conversions off within the block. Raises ConflictError when there are any.

        Does nothing on storage without locks.
        """
        return nullcontext()
