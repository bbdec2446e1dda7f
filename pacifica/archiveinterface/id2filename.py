"""Ids become paths, and back: a fixed mapping that spreads files over directories of 256 entries."""

from .exception import FileIdError

LARGEST_ID = (1 << 63) - 1


def parse_file_id(text: str) -> int:
    """Return the id that *text* spells in canonical decimal.

    Raises FileIdError for every other spelling (``007``, ``+7``, other scripts' digits) and
    for ids beyond 2^63-1, so that no two spellings mean one file.
    """
    # isdecimal() accepts every script's digits; isascii() leaves ours.
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or text != str(int(text)) or int(text) > LARGEST_ID:
        raise FileIdError(f"a file id is a decimal number from 0 to {LARGEST_ID} without leading zeros")
    return int(text)


def id2filename(fileid: int) -> str:
    """Return the path of *fileid* below the prefix: 12345 -> ``/39/3039``, 5 -> ``/file.5``.

    The id's bytes in hex, least significant first, each a directory but the first byte;
    the last component is the whole hex number. Raises FileIdError outside 0..2^63-1.
    """
    if not 0 <= fileid <= LARGEST_ID:
        raise FileIdError(f"a file id lies between 0 and {LARGEST_ID}")
    name = f"{fileid:x}"
    if len(name) <= 2:
        return f"/file.{name}"
    directories = [name[max(end - 2, 0) : end] for end in range(len(name), 2, -2)]
    return "/" + "/".join([*directories, name])


def filename2id(path: str) -> int:
    """Return the id whose path below the prefix is *path*; the exact inverse of id2filename.

    Raises FileIdError for a path that no id has.
    """
    name = path.rpartition("/")[2].removeprefix("file.")
    try:
        fileid = int(name, 16)
    except ValueError:
        fileid = -1
    if not 0 <= fileid <= LARGEST_ID or id2filename(fileid) != path:
        raise FileIdError("no file id has this path")
    return fileid
