"""Disk copies that go at a time that the storage has set: kept for longer where those who asked want them longer."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from peewee import fn

from ...backends.abstract.archive import AbstractBackendArchive
from ...backends.abstract.residency import Residency
from ...globals import LOG_NAME
from ..store import Store
from ..tables import RequestedFile

_log = logging.getLogger(LOG_NAME)


class Arrival(NamedTuple):
    """A file that is on disk, and its recall."""

    recall: int
    file_id: str
    residency: Residency


class Keeping:
    """Has the storage keep the disk copies of files that have arrived."""

    def __init__(self, archive: AbstractBackendArchive, store: Store) -> None:
        """Keep files of *archive* for those who asked *store* for them."""
        self._archive, self._store = archive, store

    def __call__(self, arrivals: Sequence[Arrival]) -> dict[int, float | None]:
        """Return for how many seconds each file stays on disk, by its recall; None where the storage names no end."""
        ends = {each.recall: each.residency.disk_seconds for each in arrivals}
        bounded = {recall: end for recall, end in ends.items() if end is not None}
        if not bounded or not self._archive.recall_traits.pins:
            return ends
        wanted = self._wanted(list(bounded))
        short = [each for each in arrivals if wanted.get(each.recall, 0.0) > bounded.get(each.recall, float("inf"))]
        return {**ends, **self._extended(short, wanted)}

    def _wanted(self, recalls: list[int]) -> dict[int, float]:
        """Return for how many seconds somebody wants the files of *recalls*, if anybody does."""
        waiting = RequestedFile.cancelled_at.is_null() & RequestedFile.released_at.is_null()
        query = RequestedFile.select(RequestedFile.recall, fn.MAX(RequestedFile.lifetime))
        chosen = query.where(RequestedFile.recall.in_(recalls), waiting).group_by(RequestedFile.recall)
        return dict(self._store.rows(chosen.tuples()))

    def _extended(self, short: Sequence[Arrival], wanted: Mapping[int, float]) -> dict[int, float | None]:
        files: dict[float, list[str]] = {}
        for each in short:
            files.setdefault(wanted[each.recall], []).append(each.file_id)
        for seconds, file_ids in files.items():
            for file_id, error in self._archive.pin(file_ids, seconds).items():
                if error:
                    _log.warning("the disk copy of %s goes before its pin ends: %s", file_id, error)
        answers = self._archive.residencies([each.file_id for each in short])
        found = [(each.recall, answers[each.file_id]) for each in short]
        return {recall: answer.disk_seconds for recall, answer in found if isinstance(answer, Residency)}
