"""Lines on standard output; a progress bar on the same terminal stays below them."""

import os
import sys

from tqdm import tqdm

from ..exception import ArchiveInterfaceError


class OutputError(ArchiveInterfaceError):
    """Standard output cannot be written to."""


def write_line(line: str) -> None:
    """Write *line*, and do not return before the reader can have it. Raises OutputError."""
    try:
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()
    except OSError as error:
        # What is still in the buffer would be written, and fail, once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write the output: {(error.strerror or '').lower()}") from None
