"""What a test needs of the machine: without it the test fails under CI, and is skipped elsewhere."""

import os
import shutil
from pathlib import Path

import pytest

# Where an ordinary user's shell does not look.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def refuse_or_skip(reason: str) -> None:
    """Skip the test for *reason*; under CI nothing is skipped, and the test fails."""
    if os.getenv("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need(*commands: str | Path) -> None:
    """Go on if all *commands* are installed; skip the test if not, or fail it under CI."""
    for command in commands:
        if not shutil.which(command, path=PATH):
            refuse_or_skip(f"{Path(command).name} is not installed")
