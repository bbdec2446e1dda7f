"""The launcher, for a process that loads it once and forks for each run."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from pacifica.archiveinterface.__main__ import main


def run_main(arguments: Sequence[str], environment: Mapping[str, str], errors: str) -> NoReturn:
    """Run the launcher in this process; what it writes to standard error goes to the file *errors*."""
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(errors, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(main(arguments))
