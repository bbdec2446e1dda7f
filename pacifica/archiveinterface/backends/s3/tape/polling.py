"""Where the bytes of many files are, with few calls.

A list of up to 1000 objects with the state of their restores costs as much as about twelve HEADs, so a directory is
listed when so many of its files are asked for. Not every store lists that state, and one that does lists none for an
object without a restored copy. So what is not listed counts only once the store has listed a state; until then, and
for what a list never tells, HEAD is asked.
"""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

from ....exception import ArchiveInterfaceError, StorageError
from ...abstract.archive import outcome_of
from ...abstract.residency import Residency
from ..calls.bucket import Answer
from ..calls.dates import time_of
from ..store import Store
from .restoring import restoring_in_list

T = TypeVar("T")
Outcomes = dict[str, T | ArchiveInterfaceError]

_WORTH_A_LIST = 12  # files of one directory
_TIERED = "INTELLIGENT_TIERING"  # lists do not tell in which tier such an object is


class _Listed(NamedTuple):
    """An object in a list that the store made at *now*."""

    entry: Answer
    now: float

    @property
    def has_state(self) -> bool:
        return "RestoreStatus" in self.entry


def outcomes_of(store: Store, action: Callable[[str], T], names: Collection[str]) -> Outcomes[T]:
    """Return what *action* returns, or the error that it raises, for each of *names*; some run at a time."""
    if len(names) < 2:
        return {name: outcome_of(partial(action, name)) for name in names}
    with ThreadPoolExecutor(min(store.s3.restore_calls, len(names))) as pool:
        return dict(zip(names, pool.map(lambda name: outcome_of(partial(action, name)), names), strict=True))


def residencies_of(store: Store, filepaths: Collection[str]) -> Outcomes[Residency]:
    """Return where the bytes of the files are, or why that cannot be told."""
    listed = {} if store.lists_restores is False else _listed(store, filepaths)
    if any(each.has_state for each in listed.values()):
        store.lists_restores = True
    told = {filepath: _residency(store, each) for filepath, each in listed.items() if _tells(store, each)}
    rest = [filepath for filepath in filepaths if filepath not in told]
    asked = outcomes_of(store, lambda filepath: store.whereabouts(filepath).residency, rest)
    if store.lists_restores is None and any(map(_is_restored, map(asked.get, listed))):
        store.lists_restores = False
    return {**told, **asked}


def _listed(store: Store, filepaths: Collection[str]) -> dict[str, _Listed]:
    """Return what lists tell of those of the files that lie in one directory with many others of them."""
    directories: dict[str, set[str]] = {}
    for filepath in filepaths:
        directories.setdefault(filepath.rpartition("/")[0], set()).add(filepath)
    chosen = {directory: wanted for directory, wanted in directories.items() if len(wanted) >= _WORTH_A_LIST}
    answers = outcomes_of(store, lambda directory: _in_directory(store, directory, chosen[directory]), chosen)
    if any(isinstance(answer, StorageError) for answer in answers.values()):
        store.lists_restores = False  # it refuses to be asked for the state
    return {key: each for answer in answers.values() if isinstance(answer, dict) for key, each in answer.items()}


def _in_directory(store: Store, directory: str, wanted: Collection[str]) -> dict[str, _Listed]:
    place = {"Prefix": store.key(f"{directory}/"), "Delimiter": "/"}
    pages = store.bucket.pages("list_objects_v2", **place, OptionalObjectAttributes=["RestoreStatus"])
    found = {}
    for page in islice(pages, len(wanted) // _WORTH_A_LIST):
        for entry in page.get("Contents", ()):
            found[store.filepath(entry["Key"])] = _Listed(entry, time_of(page))
    return {filepath: found[filepath] for filepath in wanted if filepath in found}


def _tells(store: Store, listed: _Listed) -> bool:
    """Return whether the list says it all; Ceph RGW gives the size 0 for an object that it has archived."""
    is_known = listed.has_state or store.lists_restores is True
    return is_known and listed.entry["Size"] > 0 and listed.entry.get("StorageClass") != _TIERED


def _residency(store: Store, listed: _Listed) -> Residency:
    size = listed.entry["Size"]
    restoring = restoring_in_list(listed.entry, listed.now, store.s3.archive_classes)
    return Residency(size, *restoring.bytes_per_level(size), restoring.state, disk_seconds=restoring.seconds)


def _is_restored(answer: Residency | ArchiveInterfaceError | None) -> bool:
    return isinstance(answer, Residency) and answer.disk_seconds is not None
