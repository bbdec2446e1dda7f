"""A stand-in for systemd: the socket that a service notifies."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.service import TIMEOUT


class Notified:
    """What a service has said on the socket of `name`."""

    def __init__(self, name: str, receiver: socket.socket) -> None:
        self.environment = {"NOTIFY_SOCKET": name}
        self.receiver = receiver

    def next(self) -> dict[str, str]:
        """Return the next message, once it is there."""
        lines = self.receiver.recv(1 << 16).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def until(self, word: str) -> dict[str, str]:
        """Return the next message that assigns to *word*, once it is there."""
        while word not in (message := self.next()):
            pass
        return message


@contextmanager
def notified(place: Path | None = None) -> Iterator[Notified]:
    """Listen at *place* as systemd does, or on a socket with an abstract name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(TIMEOUT)
        name = str(place) if place else f"@pacifica-{os.getpid()}-{id(receiver)}"
        receiver.bind(name if place else f"\0{name[1:]}")
        yield Notified(name, receiver)
