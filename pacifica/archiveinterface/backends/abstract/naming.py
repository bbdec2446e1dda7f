"""Ids and names of files, and their paths below the prefix."""

from ...exception import FileIdError
from ...id2filename import filename2id, id2filename, parse_file_id

_LONGEST_NAME = 255  # bytes


def path_of_id(file_id: str) -> str:
    """Return the path below the prefix, without a leading slash, of *file_id*: ``12345`` -> ``39/3039``.

    Raises FileIdError unless it is a canonical decimal number.
    """
    return id2filename(parse_file_id(file_id))[1:]


def id_of_path(path: str) -> str | None:
    """Return the id that has *path* below the prefix, None when no id has. The inverse of path_of_id."""
    try:
        return str(filename2id(f"/{path}"))
    except FileIdError:
        return None


def plain_name(name: str) -> str:
    """Return *name*. Raises FileIdError unless it can be the name of a file directly below the prefix."""
    if not 1 <= len(name.encode(errors="surrogateescape")) <= _LONGEST_NAME:
        raise FileIdError(f"a file name has 1 to {_LONGEST_NAME} bytes")
    if "/" in name or "\0" in name or name.startswith("."):
        raise FileIdError("a file name has no slash and no NUL, and does not start with a dot")
    return name


def name_of_path(path: str) -> str | None:
    """Return *path* when it is the name of a file directly below the prefix, None when not."""
    try:
        return plain_name(path)
    except FileIdError:
        return None
