"""Digests computed of a stored file, compared with those that are kept with it."""

import logging
from itertools import count

from .backends.abstract.file import Reader
from .backends.abstract.status import AbstractStatus
from .digests import Digests
from .exception import ArchiveInterfaceError, DamagedFileError
from .globals import LOG_NAME
from .metrics.definitions import CELLS, DIGEST_MISMATCHES

_log = logging.getLogger(LOG_NAME)
_damaged_files = count(1)  # found by reading since the process started


def compare_or_store_digests(file: Reader, status: AbstractStatus, computed: Digests) -> None:
    """Compare the digests *computed* of the whole open *file* with the stored ones, or store them if there are none.

    Raises DamagedFileError, once the file is marked as damaged. A mark or a digest that cannot
    be stored is only logged.
    """
    wrong = [name for name, value in status.digests.items() if name in computed and computed[name] != value]
    try:
        if wrong:
            file.mark_damaged(f"{wrong[0]} was {computed[wrong[0]].hex()} when it was read")
        elif not status.digests and file.status().version == status.version:
            file.set_digests(computed)
    except ArchiveInterfaceError as error:
        _log.warning("%s: the result of reading it cannot be stored: %s", file.filepath, error.__cause__ or error)
    if wrong:
        CELLS.add(DIGEST_MISMATCHES.change("stored"))
        found = next(_damaged_files)
        _log.error("%s is damaged: its %s is not the stored one (number %d)", file.filepath, wrong[0], found)
        raise DamagedFileError("the file is damaged: its bytes are not those that were stored")
