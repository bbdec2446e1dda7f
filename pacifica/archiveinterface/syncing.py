"""What survives a power loss."""

import os


def sync_names(directory: str) -> None:
    """Return when the names in *directory* are on stable storage. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
