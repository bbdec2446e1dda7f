"""Files that are read again when they have changed."""

import logging
from pathlib import Path

import pytest

from pacifica.archiveinterface.auth.files.watched import Watched
from pacifica.archiveinterface.exception import ConfigurationError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "number").write_text("1")
    return tmp_path / "number"


def test_a_change_is_seen(path: Path) -> None:
    number = Watched(str(path), int)
    assert number.current() == 1
    path.write_text("2")
    assert number.current() == 2
    (path.parent / "new").write_text("3")
    (path.parent / "new").replace(path)
    assert number.current() == 3


@pytest.mark.parametrize("broken", [b"three", b"\xff", None])
def test_a_broken_version_keeps_the_old_one_and_is_logged_once(
    path: Path, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    number = Watched(str(path), int)
    if broken is None:
        path.unlink()
    else:
        path.write_bytes(broken)
    with caplog.at_level(logging.ERROR):
        assert [number.current(), number.current()] == [1, 1]
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    path.write_text("4")
    assert number.current() == 4


@pytest.mark.parametrize("broken", [b"three", b"\xff", None])
def test_a_broken_file_is_refused_at_first(path: Path, broken: bytes | None) -> None:
    if broken is None:
        path.unlink()
    else:
        path.write_bytes(broken)
    with pytest.raises(ConfigurationError, match=str(path)):
        Watched(str(path), int)
