"""What systemd is told of the service, and asks of it: sd_notify(3) and sd_watchdog_enabled(3).

The protocol is one datagram for each message. Of the packages for it, sdnotify has had no release since 2017, and
systemd-python is compiled against libsystemd.
"""

import logging
import os
import socket
import ssl
import time

from ..globals import LOG_NAME

_HEALTH_REQUEST = b"GET /-/health HTTP/1.1\r\nHost: localhost\r\nUser-Agent: watchdog\r\nConnection: close\r\n\r\n"
_log = logging.getLogger(LOG_NAME)


def notify_ready(status: str) -> None:
    """Say that the service is ready, after its start or a reload."""
    _notify("READY=1", f"STATUS={status}")


def notify_reloading() -> None:
    """Say that the service reads its configuration anew; `notify_ready` ends that."""
    _notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", "STATUS=reloads")


def notify_stopping() -> None:
    """Say that the service lets requests in flight finish, and ends."""
    _notify("STOPPING=1", "STATUS=lets requests in flight finish")


def leave_systemd() -> None:
    """Tell nothing more, in a process that systemd has not started itself."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
        os.environ.pop(name, None)


def _notify(*assignments: str) -> None:
    place = os.getenv("NOTIFY_SOCKET")
    if not place:
        return
    message = "\n".join(assignment.replace("\n", " ") for assignment in assignments)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # "@" stands for the NUL of an abstract name.
            sender.sendto(message.encode(errors="replace"), f"\0{place[1:]}" if place[0] == "@" else place)
    except OSError as error:
        _log.warning("systemd cannot be told %s at %s: %s", assignments[0], place, error.strerror)


class Watchdog:
    """Tells systemd that the service answers, twice in each WatchdogSec; nothing where that is not set."""

    def __init__(self, listener: socket.socket, *, encrypted: bool = False) -> None:
        """Ask the service on *listener*; it is *encrypted* by TLS."""
        self._listener = listener
        self.encrypted = encrypted
        self._interval = _watchdog_seconds() / 2
        self._due = time.monotonic() + self._interval

    def tend(self) -> float:
        """Ask the service when it is time, and tell systemd if it answers; return the seconds until it is time again.

        Waits for an answer no longer than half of these.
        """
        if time.monotonic() >= self._due:
            if _answers(self._listener, self._interval / 2, self.encrypted):
                _notify("WATCHDOG=1")
            self._due = time.monotonic() + self._interval
        return max(0.0, self._due - time.monotonic())


def _watchdog_seconds() -> float:
    if os.getenv("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")
    return int(os.getenv("WATCHDOG_USEC") or 0) / 1e6 or float("inf")


def _answers(listener: socket.socket, seconds: float, encrypted: bool) -> bool:
    """Return whether a request gets an answer, whatever its status, or the client is refused for its TLS."""
    try:
        with socket.socket(listener.family) as connection:
            connection.settimeout(seconds)
            connection.connect(listener.getsockname())
            stream = _unverified().wrap_socket(connection) if encrypted else connection
            stream.sendall(_HEALTH_REQUEST)
            return bool(stream.recv(1))
    except ssl.SSLError:
        return True
    except OSError:
        return False


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
