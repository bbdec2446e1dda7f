"""Blocks that are undone when they fail."""

from collections.abc import Callable


class UndoOnError:
    """A block; when it fails, *undo* is called and the error goes on."""

    def __init__(self, undo: Callable[[], object]) -> None:
        """Call *undo* when the block fails, for whatever reason."""
        self._undo = undo

    def __enter__(self) -> None:
        """Begin; nothing is done yet."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Undo what was done, if it failed."""
        if error is not None:
            self._undo()
