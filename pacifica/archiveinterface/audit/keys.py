"""The key with which a log is authenticated."""

import os
import stat

from ..exception import ConfigurationError
from .lines import Hashing

_SHORTEST = 16  # bytes


def hashing_of(key_file: str) -> Hashing:
    """Return how lines are hashed with the key in *key_file*, without a key if that is empty.

    Raises ConfigurationError if the key cannot be read, is short, or can be read by all users.
    """
    if not key_file:
        return Hashing()
    try:
        with open(key_file, "rb") as file:
            mode, key = os.fstat(file.fileno()).st_mode, file.read(1 << 16).strip()
    except OSError as error:
        raise ConfigurationError(f"[audit] key_file {key_file}: {(error.strerror or 'unreadable').lower()}") from error
    if stat.S_IMODE(mode) & stat.S_IROTH:
        raise ConfigurationError(f"[audit] key_file {key_file} can be read by all users: chmod o= {key_file}")
    if len(key) < _SHORTEST:
        raise ConfigurationError(f"[audit] key_file {key_file} has less than {_SHORTEST} bytes")
    return Hashing(key)
