"""All files below a directory, in one fixed order, from any of them on."""

from collections.abc import Callable, Iterable, Iterator, Sequence

Children = Callable[[str, str], Iterable[tuple[str, bool]]]
"""Returns the names in a directory that are not before another name, in order, each with whether it is a directory."""


def files_below(children: Children, directory: str = "", after: Sequence[str] = ()) -> Iterator[str]:
    """Yield the path of everything below *directory* that is not a directory, by the names along the paths.

    Only what comes after the path of names *after* is looked at.
    """
    for name, is_directory in children(directory, after[0] if after else ""):
        path = f"{directory}/{name}" if directory else name
        begun = bool(after) and name == after[0]
        if is_directory:
            yield from files_below(children, path, after[1:] if begun else ())
        elif not begun:
            yield path
