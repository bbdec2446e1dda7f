"""What the tests of servers share."""

from pathlib import Path

import pytest


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """The directory of an archive."""
    path = tmp_path / "archive"
    path.mkdir()
    return path
