"""Sends files of an HPSS archive to tape now: ``python -m pacifica.archiveinterface.backends.hpss.to_tape``.

HPSS does so by itself, when its policies say; this is for tests of a deployed service.
"""

import argparse
import sys
from collections.abc import Sequence

from ...config import get_config
from ...exception import ArchiveInterfaceError
from .archive import HpssBackendArchive


def main(arguments: Sequence[str] | None = None) -> int:
    """Leave each of the files on tape only; return 0 when all are, 1 when one could not be sent there."""
    parser = argparse.ArgumentParser("to_tape", description="Leave files on tape only.")
    parser.add_argument("-c", "--config", metavar="FILE", help="the archive's configuration, config.ini")
    parser.add_argument("--prefix", metavar="DIRECTORY", required=True, help="where the files are in HPSS")
    parser.add_argument("files", metavar="ID", nargs="+", help="ids, as in the URL")
    given = parser.parse_args(arguments)
    try:
        config = get_config(given.config)
        archive = HpssBackendArchive(given.prefix, config.archive, config.hpss)
    except ArchiveInterfaceError as error:
        print(f"to_tape: {error}", file=sys.stderr)
        return 1
    # All of them: one that is refused does not keep the others from going to tape.
    return max([_send(archive, file_id) for file_id in given.files])


def _send(archive: HpssBackendArchive, file_id: str) -> int:
    try:
        archive.file(file_id).send_to_tape()
    except ArchiveInterfaceError as error:
        print(f"to_tape: {file_id}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
