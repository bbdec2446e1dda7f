"""What a backend is: an archive that hands out one object for each file it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, overload

from ...exception import ArchiveInterfaceError, BeingStagedError, ConfigurationError, OfflineError
from .file import ArchiveFile, Reader, Writer
from .layout import FLAT, TREE, LayoutKeeper
from .moving import MoveSource, path_below
from .naming import id_of_path, name_of_path, path_of_id, plain_name
from .options import ArchiveOptions
from .precondition import Precondition
from .recalls import RecallTraits
from .residency import Residency
from .status import Replaced

T = TypeVar("T")


class Entry(NamedTuple):
    """A file below the prefix; *file_id* is None for a name that no id maps to, or one that was never finished."""

    path: str
    file_id: str | None
    is_partial: bool = False


class Space(NamedTuple):
    """Bytes of the storage, and those of them that can still be stored."""

    size: int
    free: int


def absolute_prefix(prefix: str) -> str:
    """Return *prefix*. Raises ConfigurationError unless it is an absolute path."""
    if not prefix.startswith("/"):
        raise ConfigurationError(f"prefix {prefix!r} is not an absolute path")
    return prefix


def outcome_of(action: Callable[[], T]) -> T | ArchiveInterfaceError:
    """Return what *action* returns, or the error that it raises."""
    try:
        return action()
    except ArchiveInterfaceError as error:
        return error


class AbstractBackendArchive(ABC):
    """Files by id below *prefix*. It never changes, so any number of threads may share it.

    What belongs to one request belongs to the objects that `file` and `open` return.
    """

    name: ClassVar[str] = ""
    """The name by which the backend is chosen."""
    section: ClassVar[str] = ""
    """The section of config.ini with the backend's own options; empty for none."""
    options_type: ClassVar[type | None] = None
    """The dataclass of that section, made with `options.option`; the constructor gets one as *options*."""

    recall_traits: RecallTraits = RecallTraits()
    has_tape: bool = True  # whether files may be offline; without tape no recaller is needed
    use_id2filename: bool = True
    has_local_files: bool = False  # whether any program on this host can open a file's filepath
    is_shared_by_forks: bool = True  # whether storage may be asked before a process is forked that asks it too
    has_presigned_urls: bool = False  # whether files have a `presigned_url`
    layout_keeper: LayoutKeeper | None = None
    """What keeps the marker of the layout; None on a backend that has none."""

    def __init__(self, prefix: str, archive_options: ArchiveOptions | None = None, options: Any = None) -> None:
        """Serve the files below *prefix*; a backend refuses one that it cannot serve with ConfigurationError.

        *options* are those of the backend's own section; without options, the defaults hold.
        """
        self.prefix = prefix.rstrip("/")
        self.archive_options = archive_options or ArchiveOptions()

    @classmethod
    def prefix_in(cls, options: Any) -> str:
        """Return the prefix that the *options* of the backend's own section name; empty for none."""
        return ""

    @classmethod
    def layout_in(cls, options: Any) -> str:
        """Return the layout of files that the *options* of the backend's own section name."""
        return TREE if getattr(options, "use_id2filename", cls.use_id2filename) else FLAT

    @abstractmethod
    def file(self, file_id: str) -> ArchiveFile:
        """Return the file *file_id*, an id as in the URL, without looking whether it is there.

        Raises FileIdError when no file can have this id.
        """

    @overload
    def open(self, filepath: str, mode: Literal["r"]) -> Reader: ...

    @overload
    def open(
        self,
        filepath: str,
        mode: Literal["w"],
        *,
        length: int | None = None,
        precondition: Precondition | None = None,
    ) -> Writer: ...

    @overload
    def open(self, filepath: str, mode: str) -> Reader | Writer: ...

    def open(
        self,
        filepath: str,
        mode: str,
        *,
        length: int | None = None,
        precondition: Precondition | None = None,
    ) -> Reader | Writer:
        """Return the file *filepath*, an id as in the URL, open for reading (``r``) or to replace it (``w``).

        *length* is how many bytes will be written, when known. Reading a file that is only on
        tape starts its recall and raises BeingStagedError, or waits, as ``offline_read`` says.
        """
        if mode == "r":
            return self.read_or_recall(filepath, lambda: self.file(filepath).stage())
        if mode == "w":
            return self.file(filepath).open_writer(length, precondition)
        raise ValueError(f"mode is r or w, not {mode!r}")

    def read_or_recall(self, file_id: str, recall: Callable[[], bool]) -> Reader:
        """Return the file *file_id* open for reading, or have *recall* ask for it if it is only on tape.

        *recall* returns whether the file is on disk. Raises BeingStagedError if it is not.
        """
        try:
            return self.file(file_id).open_reader()
        except OfflineError:
            if recall():  # it has arrived meanwhile
                return self.file(file_id).open_reader()
        raise BeingStagedError("the file is being staged from tape, try again later")

    def patch(self, file_id: str, old_path: str, precondition: Precondition | None = None) -> Replaced:
        """Move the file at *old_path*, an absolute path on the backend, to *file_id*; return what had this id."""
        return self.file(file_id).move_in(old_path, precondition)

    def source_of(self, old_path: str) -> MoveSource:
        """Return what is known of the file at *old_path* before it is moved. Raises MissingFileError."""
        below = self.path_below(old_path)
        file_id = None if below is None else self.id_of(below)
        if file_id is None:
            return MoveSource(None, self.size_at(old_path))
        return MoveSource(file_id, self.file(file_id).status().filesize)

    def size_at(self, old_path: str) -> int | None:
        """Return the size of the file at *old_path*, one that may be moved; None if the storage does not tell."""
        return None

    def path_below(self, old_path: str) -> str | None:
        """Return the path below the prefix of *old_path*, as `patch` takes it; None if it is outside the archive."""
        return path_below(self.prefix, old_path)

    def residencies(self, file_ids: Iterable[str]) -> dict[str, Residency | ArchiveInterfaceError]:
        """Return where the bytes of each of *file_ids* are, or why that cannot be told. Never waits for a tape."""

        def residency(file_id: str) -> Residency:
            return self.file(file_id).residency()

        return {file_id: outcome_of(partial(residency, file_id)) for file_id in file_ids}

    def submit_recalls(self, file_ids: Iterable[str]) -> dict[str, ArchiveInterfaceError | None]:
        """Ask for the recall of each of *file_ids*; return None for a file that is on disk or on its way, or why not.

        Returns at once; what is under way is not asked for again.
        """
        return self._done_to(file_ids, lambda file: file.stage())

    def cancel_recalls(self, file_ids: Iterable[str]) -> set[str]:
        """Withdraw the recalls of *file_ids*, those of other clients too; return the files that have none any more."""
        return {file_id for file_id in file_ids if outcome_of(partial(self._cancel, file_id)) is True}

    def release(self, file_ids: Iterable[str]) -> dict[str, ArchiveInterfaceError | None]:
        """Let storage use the places of *file_ids* on disk; return None for each, or why it stays."""
        return self._done_to(file_ids, lambda file: file.release())

    def pin(self, file_ids: Iterable[str], seconds: float) -> dict[str, ArchiveInterfaceError | None]:
        """Keep *file_ids* on disk for *seconds*, or until they are unpinned; return None for each, or why not."""
        return self._done_to(file_ids, lambda file: file.pin(seconds))

    def unpin(self, file_ids: Iterable[str]) -> dict[str, ArchiveInterfaceError | None]:
        """Undo `pin`; return None for each file, or why not."""
        return self._done_to(file_ids, lambda file: file.unpin())

    def checks(self) -> Mapping[str, Callable[[], object]]:
        """Return what finds out whether the storage can be used now, by the name of what is checked.

        Each raises an ArchiveInterfaceError if not, and may wait as long as the storage does.
        """
        return {}

    def space(self) -> Space | None:
        """Return the bytes of the storage and those that are free; None if it cannot tell. May wait as checks may."""
        return None

    def disk_used(self) -> float | None:
        """Return how full the file system of recalled files is, from 0 to 1; None if the storage cannot tell."""
        return None

    def _cancel(self, file_id: str) -> bool:
        return self.file(file_id).cancel_recall()

    def _done_to(
        self, file_ids: Iterable[str], action: Callable[[ArchiveFile], object]
    ) -> dict[str, ArchiveInterfaceError | None]:
        def do(file_id: str) -> None:
            action(self.file(file_id))

        return {file_id: outcome_of(partial(do, file_id)) for file_id in file_ids}

    @property
    def layout(self) -> str:
        """The layout of the options: how ids become paths."""
        return TREE if self.use_id2filename else FLAT

    def path_of(self, file_id: str) -> str:
        """Return the path below the prefix, without a leading slash, of the file *file_id*. Raises FileIdError."""
        return path_of_id(file_id) if self.use_id2filename else plain_name(file_id)

    def id_of(self, path: str) -> str | None:
        """Return the id whose file *path*, below the prefix, is; None when no id maps to it. The inverse of path_of."""
        return id_of_path(path) if self.use_id2filename else name_of_path(path)

    def require_usable(self) -> None:
        """Raise ConfigurationError unless files can be stored as the options say; asked when a service starts."""

    def sweep(self) -> None:
        """Remove what processes that died left half-written; a service does this when it starts."""

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every file below the prefix whose path comes after *after*, in one fixed order.

        Raises ConfigurationError when the backend cannot list its files.
        """
        raise ConfigurationError("this backend cannot list its files, name their ids")
