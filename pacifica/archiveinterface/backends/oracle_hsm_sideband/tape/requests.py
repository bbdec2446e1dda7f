"""What is asked of SAM-QFS for many files at a time: recalls, their end, and the release of disk blocks."""

import os
from collections.abc import Sequence
from dataclasses import replace

from ....exception import ArchiveInterfaceError, ConflictError
from ...abstract.residency import RecallState, Residency
from ..status import HsmSidebandStatus
from .recalls import Recalls
from .running import Request, outcomes

Outcomes = dict[str, ArchiveInterfaceError | None]
"""By path: None, or why it was not done."""


class Requests:
    """Asks for some files, of which the statuses are known. Safe to share between threads."""

    def __init__(self, recalls: Recalls, cancel: Request | None, release: Request | None, batch: int) -> None:
        """Use these ways, None where there is none; *batch* is how many files *cancel* and *release* take at a time."""
        self._recalls = recalls
        self._cancel = cancel
        self._release = release
        self._batch = batch

    def noted(self, status: HsmSidebandStatus, residency: Residency) -> Residency:
        """Return *residency* with what this process knows of a recall of the file that has *status*."""
        state, error = self._recalls.state_of(status.key)
        if residency.is_online or residency.recall.is_under_way or state is RecallState.UNKNOWN:
            return residency
        return replace(residency, recall=state, error=error)

    def submit(self, statuses: Sequence[HsmSidebandStatus]) -> Outcomes:
        """Have the files recalled that are neither on disk nor on their way."""
        wanted = [status for status in statuses if not (_is_online(status) or status.recall.is_under_way)]
        told = self._recalls.submit({status.key: status.filepath for status in wanted})
        return {status.filepath: told.get(status.key) for status in statuses}

    def cancel(self, statuses: Sequence[HsmSidebandStatus]) -> set[str]:
        """Withdraw the recalls of the files; return the paths of those of which none goes on."""
        gone = {status.filepath for status in statuses if _is_online(status) or self._recalls.withdraw(status.key)}
        if self._cancel:
            told = outcomes(self._cancel, [s.filepath for s in statuses if s.filepath not in gone], self._batch)
            # The stager may be about to submit one.
            idle = {s.filepath for s in statuses if not self._recalls.state_of(s.key)[0].is_under_way}
            gone |= {path for path, error in told.items() if error is None and path in idle}
        return gone

    def release(self, statuses: Sequence[HsmSidebandStatus]) -> Outcomes:
        """Drop the disk blocks of the files that have a good archive copy; ConflictError for the others."""
        told: Outcomes = {status.filepath: None for status in statuses}
        if not self._release:
            return told
        on_disk = [status for status in statuses if status.stat.st_blocks and _is_online(status)]
        refusal = ConflictError("the file stays on disk: no good archive copy of it is known")
        told.update({status.filepath: refusal for status in on_disk if status.bytes_on("tape") < status.filesize})
        wanted = [status for status in on_disk if not told[status.filepath]]
        told.update(outcomes(self._release, [status.filepath for status in wanted], self._batch))
        return told | {status.filepath: _KEPT for status in wanted if not told[status.filepath] and _is_kept(status)}


_KEPT = ConflictError("SAM-QFS keeps the file on disk")


def _is_online(status: HsmSidebandStatus) -> bool:
    return status.residency.is_online


def _is_kept(status: HsmSidebandStatus) -> bool:
    """Return whether the file still has the blocks that it had; sam_release tells no error then."""
    try:
        return os.stat(status.filepath).st_blocks >= status.stat.st_blocks
    except OSError:
        return False
