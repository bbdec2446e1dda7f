"""Files that others send: the web server before the service opens them, or the store has them at a presigned URL."""

import os
from collections.abc import Mapping
from urllib.parse import quote

from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.status import AbstractStatus
from ..exception import ConfigurationError

LOCATION = "/-/files/"  # the location in nginx whose files are those below the prefix

PRESIGNED = "presigned"
# The other server would evaluate these conditional headers itself, with other results.
_CONDITIONS = ("If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


def require_senders(archive: AbstractBackendArchive, sendfile: str) -> None:
    """Raise ConfigurationError when another server is to send files that it cannot read."""
    if sendfile == PRESIGNED and not archive.has_presigned_urls:
        raise ConfigurationError(f"[http] sendfile = {sendfile}: the files of this backend have no URLs of their own")
    if sendfile not in ("off", PRESIGNED) and not archive.has_local_files:
        raise ConfigurationError(
            f"[http] sendfile = {sendfile}: this backend has no files that a reverse proxy could open"
        )


def has_conditions(request_headers: Mapping[str, str]) -> bool:
    """Return whether the request has conditions, which the service has to evaluate."""
    return any(name in request_headers for name in _CONDITIONS)


def redirection(
    archive: AbstractBackendArchive, status: AbstractStatus, request_headers: Mapping[str, str], sendfile: str
) -> dict[str, str]:
    """Return the header that lets the reverse proxy send a whole file; none when the service has to send it.

    The path in it is percent-encoded: Apache, lighttpd and nginx decode it.
    """
    if sendfile in ("off", PRESIGNED):
        return {}
    # A reverse proxy that waits for a tape keeps all its clients waiting.
    if status.file_storage_media != "disk" or "Range" in request_headers or has_conditions(request_headers):
        return {}
    if sendfile == "x-sendfile":
        return {"X-Sendfile": quote(os.fsencode(status.filepath))}
    return {"X-Accel-Redirect": LOCATION + quote(os.fsencode(status.filepath.removeprefix(f"{archive.prefix}/")))}
