"""What is read of a connection that is to be closed."""

import socket
import time
from collections.abc import Iterator

import pytest

from pacifica.archiveinterface.servers import lingering
from pacifica.archiveinterface.servers.lingering import linger


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The service's end of a connection, and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(("most", "left"), [(0, b"0123456789"), (1, b"123456789"), (4, b"456789"), (10, b"")])
def test_no_more_is_read_than_was_said(ends: tuple[socket.socket, socket.socket], most: int, left: bytes) -> None:
    ours, theirs = ends
    theirs.sendall(b"0123456789")
    linger(ours, most)
    assert theirs.recv(1) == b""  # the client is told that no more comes
    theirs.close()
    assert ours.recv(100) == left


def test_a_client_that_ends_is_not_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"0123456789")
    theirs.close()
    linger(ours, 1000)
    linger(ours, 1000)


def test_a_client_that_is_silent_is_waited_for_a_moment(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "_SILENCE", 0.01)
    linger(ends[0], 1000)


def test_a_connection_that_was_reset_is_no_failure() -> None:
    with socket.socket() as never_connected:
        linger(never_connected, 1000)


def test_a_client_that_never_stops_is_left(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ends
    theirs.settimeout(1)
    theirs.sendall(bytes(100_000))
    moments = iter(range(0, 1000, 20))
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: next(moments))
        linger(ours, 1_000_000)
    ours.setblocking(False)
    assert len(ours.recv(100_000)) == 100_000 - (1 << 16)
