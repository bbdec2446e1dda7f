"""What all files of one archive in HPSS share: the session, the open readers, and how a file is described."""

import errno
import logging
import secrets
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ...exception import BackendUnavailableError, ConfigurationError, ConflictError
from ...globals import LOG_NAME
from ..abstract.options import ArchiveOptions
from .calls.client import load_client
from .calls.session import Session
from .extended import HpssExtended
from .notes import read_notes
from .options import HpssOptions
from .places import PARTIAL, in_directory
from .status import HpssStatus
from .tape.recalls import Recalls
from .transfers.reading import OpenReaders

T = TypeVar("T")

_log = logging.getLogger(LOG_NAME)


class NoFileError(ConflictError):
    """A directory or the like has the name of a file."""


class Store:
    """The files below *prefix*, kept as *options* say; shared by all threads."""

    def __init__(self, prefix: str, options: ArchiveOptions, hpss: HpssOptions) -> None:
        """Load the client library; the login comes with the first request of each process."""
        self.prefix = prefix
        self.options = options
        self.hpss = hpss
        self.session = Session(load_client(hpss.library), hpss)
        self.client = self.session.client
        self.readers = OpenReaders()
        self.recalls = Recalls(self.session, _address_of(hpss.callback_address))

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what *function*, one of the client's, returns for *arguments*. Raises as Session.call does."""
        return self.session.call(partial(function, *arguments))

    def require_prompt_server(self) -> None:
        """Raise BackendUnavailableError when the core server answers too slowly, or too many requests wait for it."""
        self.session.require_room()
        latency = HpssExtended.parse_latency(self.session.ping())
        if latency > self.hpss.accept_latency:
            _log.warning("the HPSS core server took %.3f seconds to answer", latency)
            raise BackendUnavailableError("the HPSS core server answers too slowly, try again later")

    def describe(self, path: str) -> HpssStatus:
        """Return the status of the file at *path*. Raises HPSSError, NoFileError."""
        client = self.client

        def describe() -> HpssStatus:
            found, residency = client.stat(path), self._residency(path)
            status = HpssStatus.of(path, found, residency)
            status.digests, status.damaged = read_notes(client, path)
            return status

        return self.session.call(describe)

    def locate(self, path: str) -> HpssStatus:
        """Return where the file at *path* is, by one call; its times and notes are not told. Raises as describe."""
        return HpssStatus.located(path, self.session.call(partial(self._residency, path)))

    def _residency(self, path: str) -> Any:
        found = self.client.residency(path)
        if not found["is_file"]:
            raise NoFileError("something that is not a file has this name")
        return found

    def existing(self, path: str) -> HpssStatus | None:
        """Return the status of the file at *path*, None for nothing. Raises HPSSError, NoFileError."""
        try:
            return self.describe(path)
        except self.client.HPSSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            return None

    def is_still(self, status: HpssStatus) -> bool:
        """Return whether the path of *status* still names the same bitfile. Raises HPSSError."""
        try:
            return bool(self.call(self.client.residency, status.filepath)["bitfile"] == status.bitfile)
        except self.client.HPSSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            return False

    def new_name(self) -> str:
        """Return a path in ``.partial`` that nothing has."""
        return f"{self.prefix}/{PARTIAL}/{secrets.token_hex(16)}"

    def rename(self, source: str, target: str) -> None:
        """Rename the file at *source* to *target*, replacing what is there. Raises HPSSError."""
        in_directory(self.session, self.prefix, target, partial(self.call, self.client.rename, source, target))

    def link(self, source: str, target: str) -> None:
        """Link the file at *source* to *target*. Raises HPSSError, with EEXIST when something is there."""
        in_directory(self.session, self.prefix, target, partial(self.call, self.client.link, source, target))


def _address_of(place: tuple[str, int] | None) -> tuple[int, ...]:
    """Return the IPv4 address of *place* as a number, and its port; nothing without a place."""
    if place is None:
        return ()
    host, port = place
    try:
        return int.from_bytes(socket.inet_aton(socket.gethostbyname(host)), "big"), port
    except (OSError, UnicodeError) as error:  # the latter for labels that no name can have
        raise ConfigurationError(f"[hpss] callback_address: {host!r} has no IPv4 address: {error}") from error
