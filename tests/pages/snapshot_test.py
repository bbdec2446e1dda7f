"""Content that many ask for."""

import time

import pytest

from pacifica.archiveinterface.exception import BackendUnavailableError
from pacifica.archiveinterface.pages.snapshot import Snapshot


class Source:
    """Content that takes *seconds* to make, by a clock that nothing else moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.now, self.made, self.fails = 1000.0, 0, False
        self._seconds = seconds
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def __call__(self) -> bytes:
        """Make the next content."""
        if self.fails:
            raise BackendUnavailableError("the database does not answer")
        self.now += self._seconds
        self.made += 1
        return b"%d" % self.made


@pytest.mark.parametrize(("seconds", "age"), [(0.0, 1.0), (0.0625, 1.0), (0.5, 5.0)])
def test_content_is_used_for_a_second_and_longer_if_making_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, seconds: float, age: float
) -> None:
    source = Source(monkeypatch, seconds)
    snapshot = Snapshot(source)
    assert snapshot() == b"1"
    source.now += age - 0.25
    assert snapshot() == b"1"
    source.now += 0.25
    assert snapshot() == b"2"


def test_a_failure_is_told_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(monkeypatch, 0.0)
    snapshot = Snapshot(source)
    source.fails = True
    with pytest.raises(BackendUnavailableError):
        snapshot()
    source.fails = False
    assert snapshot() == b"1"
