"""Files that the web server before the service opens and sends: X-Sendfile and X-Accel-Redirect."""

import os
from collections.abc import Mapping
from urllib.parse import quote

from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.status import AbstractStatus
from ..exception import ConfigurationError

LOCATION = "/-/files/"  # the location in nginx whose files are those below the prefix

# The reverse proxy would evaluate these conditional headers itself, with other results.
_JUDGED = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


def require_local_files(archive: AbstractBackendArchive, sendfile: str) -> None:
    """Raise ConfigurationError when a reverse proxy is to send files that it cannot open."""
    if sendfile != "off" and not archive.has_local_files:
        raise ConfigurationError(
            f"[http] sendfile = {sendfile}: this backend has no files that a reverse proxy could open"
        )


def redirection(
    archive: AbstractBackendArchive, status: AbstractStatus, request_headers: Mapping[str, str], sendfile: str
) -> dict[str, str]:
    """Return the header that lets the reverse proxy send a whole file; none when the service has to send it.

    The path in it is percent-encoded: Apache, lighttpd and nginx decode it.
    """
    # A reverse proxy that waits for a tape keeps all its clients waiting.
    if sendfile == "off" or status.file_storage_media != "disk" or any(name in request_headers for name in _JUDGED):
        return {}
    if sendfile == "x-sendfile":
        return {"X-Sendfile": quote(os.fsencode(status.filepath))}
    return {"X-Accel-Redirect": LOCATION + quote(os.fsencode(status.filepath.removeprefix(f"{archive.prefix}/")))}
