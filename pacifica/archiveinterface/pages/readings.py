"""What the service looks up when somebody asks for metrics: its checks, the space that is left, and the recalls."""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nlargest
from typing import Any, NamedTuple

from ..backends.abstract.archive import AbstractBackendArchive, Space
from ..exception import ArchiveInterfaceError
from ..globals import VERSION
from ..metrics import definitions
from ..metrics.kinds import Reading
from ..recalls.report import Report, VolumeReport
from ..recalls.service import RecallService
from .health import Checks
from .questions import Question, answers
from .snapshot import Snapshot

MOST_VOLUMES = 20  # with metrics of their own; the others are added up
_OTHERS = "others"
_UNKNOWN = "unknown"  # the storage does not tell the volume


class Read(NamedTuple):
    """What was looked up: numbers by the values of the labels of *reading*."""

    reading: Reading
    numbers: Iterable[tuple[Sequence[str], float]]


class Readings:
    """Looks up what there is to tell of an archive; what does not answer in time is left out."""

    def __init__(self, archive: AbstractBackendArchive, recalls: RecallService | None, checks: Checks) -> None:
        """Ask *archive*, *checks*, and the database of *recalls* if files can be on tape."""
        self._backend, self._checks = archive.name, checks
        self._questions: list[tuple[Question[Any], Callable[[Any], Iterator[Read]]]] = [
            (Question(archive.space), _of_space)
        ]
        if recalls and archive.has_tape:
            self._questions.append((Question(Snapshot(recalls.report)), _of_recalls))

    def look_up(self) -> Iterator[Read]:
        """Yield what is found."""
        yield Read(definitions.BUILD, [((VERSION, platform.python_version(), self._backend), 1)])
        results = self._checks.results()
        yield Read(definitions.READY, [((name,), float(not wrong)) for name, wrong in results.items()])
        said = answers(question for question, _ in self._questions)
        for (_, read), answer in zip(self._questions, said, strict=True):
            if answer is not None and not isinstance(answer, ArchiveInterfaceError):
                yield from read(answer)


def _of_space(space: Space) -> Iterator[Read]:
    yield Read(definitions.SIZE_BYTES, [((), space.size)])
    yield Read(definitions.FREE_BYTES, [((), space.free)])


def _of_recalls(report: Report) -> Iterator[Read]:
    states = {
        "new": report.new_files,
        "waiting": report.waiting_files,
        "started": report.started_files,
    }
    ended = {"completed": report.completed_files, "failed": report.failed_files}
    yield Read(definitions.RECALLS, [((state,), number) for state, number in states.items()])
    yield Read(definitions.RECALLS_ENDED, [((state,), number) for state, number in ended.items()])
    yield Read(definitions.RECALLED_BYTES, [((), report.completed_bytes)])
    yield Read(definitions.RECALLERS, [((), report.has_recaller)])
    yield Read(definitions.OLDEST_RECALL, [((), report.oldest_seconds)])
    yield Read(definitions.VOLUMES, [((), len(report.volumes))])
    volumes = _largest(report.volumes)
    for reading, number in (
        (definitions.VOLUME_WAITING, "waiting_files"),
        (definitions.VOLUME_BYTES, "waiting_bytes"),
        (definitions.VOLUME_STARTED, "in_flight"),
    ):
        yield Read(
            reading, [((name,), sum(getattr(each, number) for each in group)) for name, group in volumes.items()]
        )


def _largest(volumes: Sequence[VolumeReport]) -> dict[str, list[VolumeReport]]:
    """Return the volumes with the most files, by their names, and all others together."""
    largest = nlargest(MOST_VOLUMES, volumes, key=lambda volume: volume.waiting_files + volume.in_flight)
    groups = {volume.name or _UNKNOWN: [volume] for volume in largest}
    others = [volume for volume in volumes if volume not in largest]
    return {**groups, **({_OTHERS: others} if others else {})}
