"""Backends whose calls are counted and timed: made from any backend's class, by classes derived from its own."""

from collections.abc import Callable, Iterable
from functools import cache, wraps
from time import perf_counter
from typing import Any, TypeVar

from ..exception import (
    ArchiveInterfaceError,
    BackendUnavailableError,
    BeingStagedError,
    NoSpaceError,
    OfflineError,
    StorageError,
)
from ..metrics.definitions import BACKEND_FAILURES, BACKEND_SECONDS, CELLS
from .abstract.archive import AbstractBackendArchive
from .abstract.file import ArchiveFile, Writer

T = TypeVar("T")

_OF_ARCHIVES = ("residencies", "submit_recalls", "cancel_recalls", "release", "pin", "unpin")
_OF_FILES = ("open_reader", "status", "residency", "stage", "remove", "move_in")
_FAILURES = (StorageError, BackendUnavailableError, NoSpaceError)
_EXPECTED = (OfflineError, BeingStagedError)  # the file is on tape


def measured(kind: type[AbstractBackendArchive]) -> type[AbstractBackendArchive]:
    """Return a subclass of *kind* whose calls are counted, and those of its files and writers."""

    def file(self: AbstractBackendArchive, file_id: str) -> ArchiveFile:
        return _as(_measured_file, kind.file(self, file_id))

    return _derived(kind, _OF_ARCHIVES, file=file)


@cache
def _measured_file(kind: type[ArchiveFile]) -> type[ArchiveFile]:
    open_writer = _timed("open_writer", kind.open_writer)

    def open_measured_writer(self: ArchiveFile, *arguments: Any, **options: Any) -> Writer:
        writer: Writer = open_writer(self, *arguments, **options)
        return _as(_measured_writer, writer)

    return _derived(kind, _OF_FILES, open_writer=open_measured_writer)


@cache
def _measured_writer(kind: type[Writer]) -> type[Writer]:
    return _derived(kind, (), close=_timed("publish", kind.close))


def _as(kind_for: Callable[[type[T]], type[T]], made: T) -> T:
    made.__class__ = kind_for(type(made))
    return made


def _derived(kind: type[T], names: Iterable[str], **methods: Callable[..., Any]) -> type[T]:
    timed = {name: _timed(name, getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, **timed, **methods})


def _timed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    cell = BACKEND_SECONDS.cell(name)

    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        began = perf_counter()
        try:
            return method(*arguments, **options)
        except BaseException as error:
            if _is_failure(error):
                CELLS.add(BACKEND_FAILURES.change(name))
            raise
        finally:
            CELLS.add(*BACKEND_SECONDS.changes(cell, perf_counter() - began))

    return call


def _is_failure(error: BaseException) -> bool:
    """Return whether *error* is the storage's, not the client's."""
    if isinstance(error, ArchiveInterfaceError):
        return isinstance(error, _FAILURES) and not isinstance(error, _EXPECTED)
    return isinstance(error, Exception)
