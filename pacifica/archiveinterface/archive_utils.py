"""Documented helpers; two of them live in `http`."""

from .http.headers.dates import get_http_modified_time
from .http.headers.file_headers import file_status

__all__ = ["bytes_type", "file_status", "get_http_modified_time", "un_abs_path"]


def bytes_type(text: str | bytes) -> bytes:
    """Return *text* as bytes, encoded as UTF-8 when it is a string."""
    return text.encode() if isinstance(text, str) else text


def un_abs_path(path: str) -> str:
    """Return *path* without its leading slashes: ``//12345`` -> ``12345``."""
    return path.lstrip("/")
