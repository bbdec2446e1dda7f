"""Recalls from tape: what a recall is known by, how it gets on, and asking for many in the order of the tapes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

from ....exception import ArchiveInterfaceError, StorageBusyError, archive_error, translated_os_errors
from ...abstract.archive import outcome_of
from ...abstract.residency import Place, RecallState
from ..calls.session import Session
from ..status import HpssStatus

# An arbitrary constant that distinguishes this service's requests from those of other programs.
_OURS = bytes.fromhex("70616369666963612d61726368697665")

Outcome = ArchiveInterfaceError | None


def request_id(subject: bytes) -> bytes:
    """Return the 16 bytes under which every process of this service asks for *subject*, a bitfile or a volume."""
    digest = hashlib.blake2b(subject, digest_size=16).digest()
    return bytes(ours ^ theirs for ours, theirs in zip(_OURS, digest, strict=True))


class Way(Protocol):
    """How HPSS is asked for recalls: at most *most* files by one call, all of them with the same request id."""

    most: int

    def request_of(self, file: HpssStatus) -> bytes:
        """Return the id of the request that *file* is recalled by, which can be told from the file alone."""

    def states(self, request: bytes, files: Sequence[HpssStatus]) -> list[str]:
        """Return the state of the recall of each of *files*. Raises HPSSError."""

    def submit(self, request: bytes, files: Sequence[HpssStatus]) -> list[OSError | None]:
        """Ask for the recall of *files*; return None for each, or why not. Raises HPSSError when all are refused."""


class Singly:
    """One call for each file, and an id made of its bitfile."""

    most = 1

    def __init__(self, client: Any, callback: tuple[int, ...]) -> None:
        """Let HPSS tell the address *callback*, if there is one, that a recall has ended."""
        self._client = client
        self._callback = callback

    def request_of(self, file: HpssStatus) -> bytes:
        """Return an id of the file's own."""
        return request_id(file.bitfile)

    def states(self, request: bytes, files: Sequence[HpssStatus]) -> list[str]:
        """Ask for each."""
        return [self._client.stage_status(request, file.bitfile) for file in files]

    def submit(self, request: bytes, files: Sequence[HpssStatus]) -> list[OSError | None]:
        """Ask for each."""
        for file in files:
            self._client.stage(file.filepath, request, *self._callback)
        return [None] * len(files)


class InBatches:
    """One call for many files of one volume, and an id made of the volume's name.

    HPSS knows a recall by its request id and the bitfile. The files of a batch share one id, which every process must
    be able to derive from the file alone, also when another process has asked for it in another batch.
    """

    def __init__(self, client: Any, callback: tuple[int, ...], most: int) -> None:
        """Recall at most *most* files by one call."""
        self.most = most
        self._client = client
        self._callback = callback

    def request_of(self, file: HpssStatus) -> bytes:
        """Return the id of the volume's recalls; an id of the file's own when HPSS does not tell the volume."""
        return request_id(file.places[0].volume.encode() if file.places else file.bitfile)

    def states(self, request: bytes, files: Sequence[HpssStatus]) -> list[str]:
        """Ask for all at once."""
        states: list[str] = self._client.batch_status(request, [file.bitfile for file in files])
        return states

    def submit(self, request: bytes, files: Sequence[HpssStatus]) -> list[OSError | None]:
        """Ask for all at once."""
        entries = [(file.bitfile, file.tape_level, file.filesize) for file in files]
        outcomes: list[OSError | None] = self._client.stage_batch(request, entries, *self._callback)
        return outcomes


class _Group(NamedTuple):
    request: bytes
    files: tuple[HpssStatus, ...]


class Recalls:
    """Asks for recalls, and for their states; it remembers nothing of them."""

    def __init__(self, session: Session, callback: tuple[int, ...]) -> None:
        """Recall in batches if the client library can and the options allow it."""
        client, most = session.client, session.options.stage_batch
        self._session = session
        self._way: Way = InBatches(client, callback, most) if client.BATCHES and most > 1 else Singly(client, callback)
        self.batch = self._way.most

    def state_of(self, file: HpssStatus) -> RecallState:
        """Return how the recall of *file* gets on. Raises HPSSError."""
        (state,) = self._states(_Group(self._way.request_of(file), (file,)))
        return state

    def states(self, files: Iterable[HpssStatus]) -> dict[str, RecallState | ArchiveInterfaceError]:
        """Return by path how the recall of each of *files* gets on, or why that cannot be told."""

        def states_of(group: _Group) -> list[RecallState]:
            with translated_os_errors():
                return self._states(group)

        answers: dict[str, RecallState | ArchiveInterfaceError] = {}
        for group, states in self._session.at_once(states_of, self._groups(files)).items():
            for number, file in enumerate(group.files):
                answers[file.filepath] = states if isinstance(states, ArchiveInterfaceError) else states[number]
        return answers

    def submit(self, files: Iterable[HpssStatus]) -> dict[str, Outcome]:
        """Ask for the recall of those of *files* that are not under way; return by path None or why not.

        In the order of the tapes, one call after the other, because HPSS may read in the order in which it is asked.
        What cannot be asked for within the time of two calls has to be asked for again.
        """
        answers: dict[str, Outcome] = {}
        end = time.monotonic() + 2 * self._session.options.metadata_timeout
        for group in self._groups(files):
            answers.update(self._outcomes(group, end))
        return answers

    def _outcomes(self, group: _Group, end: float) -> dict[str, Outcome]:
        def submit() -> dict[str, Outcome]:
            if time.monotonic() > end:
                raise StorageBusyError("HPSS takes recalls too slowly, try again later")
            with translated_os_errors(), self._session.lock_for(group.request.hex()):
                return self._submit(group)

        outcome = outcome_of(submit)
        if isinstance(outcome, ArchiveInterfaceError):
            return {file.filepath: outcome for file in group.files}
        return outcome

    def _submit(self, group: _Group) -> dict[str, Outcome]:
        states = zip(group.files, self._states(group), strict=True)
        waiting = [file for file, state in states if not state.is_under_way]
        answers: dict[str, Outcome] = {file.filepath: None for file in group.files}
        if waiting:
            outcomes = self._session.call(lambda: self._way.submit(group.request, waiting))
            for file, error in zip(waiting, outcomes, strict=True):
                answers[file.filepath] = archive_error(error) if error else None
        return answers

    def _states(self, group: _Group) -> list[RecallState]:
        states = self._session.call(lambda: self._way.states(group.request, group.files))
        return [RecallState.NONE if state == "unknown" else RecallState(state) for state in states]

    def _groups(self, files: Iterable[HpssStatus]) -> Iterator[_Group]:
        """Yield *files* in the order of the tapes, as many at a time as one call takes."""
        for request, of_request in groupby(sorted(files, key=_first_place), self._way.request_of):
            members = tuple(of_request)
            for start in range(0, len(members), self._way.most):
                yield _Group(request, members[start : start + self._way.most])


def _first_place(file: HpssStatus) -> tuple[tuple[Place, ...], str]:
    return file.places[:1], file.filepath
