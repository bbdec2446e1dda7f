"""Every metric of the service: its name, its meaning, and the values of its labels."""

import os
from hashlib import blake2b
from time import perf_counter
from typing import get_args

from ..exception import AuthFailure, ConfigurationError, Limit
from .cells import Cells
from .kinds import Counter, Histogram, Reading

PREFIX = "archiveinterface_"
"""Of the name of every metric, as it is exposed."""

OTHER = "other"
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "PROPFIND", OTHER)
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "503")  # the last also answers for files that are being recalled
RESOURCES = ("file", "tape", "page")
BACKEND_CALLS = (
    "open_reader",
    "open_writer",
    "publish",
    "status",
    "residency",
    "stage",
    "remove",
    "move_in",
    "residencies",
    "submit_recalls",
    "cancel_recalls",
    "release",
    "pin",
    "unpin",
)
_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_REQUEST = {"resource": RESOURCES, "method": METHODS}

HTTP_REQUESTS = Counter(
    "http_requests",
    "Requests that were answered; the status is that of the answer's head.",
    {**_REQUEST, "status": STATUSES},
)
HTTP_SECONDS = Histogram(
    "http_request_duration_seconds",
    "From the arrival of a request to the end of its answer.",
    _BOUNDS,
    {**_REQUEST, "status": STATUSES},
)
HTTP_FIRST_BYTE = Histogram(
    "http_time_to_first_byte_seconds",
    "From the arrival of a request to the head of its answer.",
    _BOUNDS,
    {**_REQUEST, "status": STATUSES},
)
HTTP_RECEIVED = Counter("http_received_bytes", "Bytes of request bodies.", _REQUEST)
HTTP_SENT = Counter("http_sent_bytes", "Bytes of the bodies of answers.", _REQUEST)
HTTP_BROKEN = Counter("http_broken_answers", "Answers that broke off after their head was sent.", _REQUEST)
BACKEND_SECONDS = Histogram(
    "backend_call_duration_seconds",
    "What the storage took for a call; a call that another one makes counts, too.",
    _BOUNDS,
    {"call": BACKEND_CALLS},
)
BACKEND_FAILURES = Counter(
    "backend_call_failures",
    "Calls that failed because of the storage: it did not answer, had no space, or was in error.",
    {"call": BACKEND_CALLS},
)
SYNC_SECONDS = Histogram(
    "sync_duration_seconds",
    "What it took to bring the bytes of a file, or the names in a directory, to stable storage (posix, hsmsideband).",
    _BOUNDS,
    {"what": ("file", "directory")},
)
DIGEST_MISMATCHES = Counter(
    "digest_mismatches",
    "Contents that did not have their digest: `upload`, that of the client; `stored`, that of the stored file, which"
    " is marked as damaged.",
    {"where": ("upload", "stored")},
)
DAMAGED_REFUSALS = Counter("damaged_file_refusals", "Requests for files that are marked as damaged.")
AUTH_FAILURES = Counter(
    "auth_failures",
    "Requests that were answered with 401 or 403 because of who asked: `no_credentials`, where some are needed;"
    " `wrong_credentials`; `no_permission`, of a known user; `not_local`, from another host or through a reverse"
    " proxy.",
    {"reason": get_args(AuthFailure)},
)
LIMIT_REFUSALS = Counter(
    "limit_refusals",
    "Requests that were answered with 507 or 429 because of `[limits]`: `quota`, `requests` a second, or `transfers` at"
    " a time.",
    {"limit": get_args(Limit)},
)
AUDIT_FAILURES = Counter(
    "audit_failures", "Requests whose line could not be written to the audit log: nothing was changed, or not told."
)
COUNTED = (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_FIRST_BYTE,
    HTTP_RECEIVED,
    HTTP_SENT,
    HTTP_BROKEN,
    BACKEND_SECONDS,
    BACKEND_FAILURES,
    SYNC_SECONDS,
    DIGEST_MISMATCHES,
    DAMAGED_REFUSALS,
    AUTH_FAILURES,
    LIMIT_REFUSALS,
    AUDIT_FAILURES,
)
PROCESS_CELL, IN_FLIGHT_CELL = 0, 1


def _place_all() -> int:
    end = IN_FLIGHT_CELL + 1
    for metric in COUNTED:
        end = metric.place(end)
    return end


CELLS = Cells(_place_all(), transient=(IN_FLIGHT_CELL,))
_LAYOUT = repr([(metric.name, metric.labels, metric.bounds) for metric in COUNTED])
# Another version of the service, with other cells, does not use the same file.
_FILE_NAME = f"metrics-{blake2b(_LAYOUT.encode(), digest_size=4).hexdigest()}"


def share_cells(directory: str = "") -> None:
    """Let this process count together with those that it forks, or with all that have a file in *directory*.

    Raises ConfigurationError.
    """
    try:
        CELLS.share(os.path.join(directory, _FILE_NAME) if directory else "")
    except OSError as error:
        raise ConfigurationError(f"[pages] metrics_directory: {(error.strerror or 'unusable').lower()}") from error


IN_FLIGHT = Reading("http_requests_in_flight", "Requests that are being answered.")
PROCESSES = Reading("processes", "Processes that answer requests, or have.")
READY = Reading("ready", "1 if this check of `/-/ready` passes, else 0.", ("check",))
FREE_BYTES = Reading("storage_free_bytes", "Bytes that can still be stored (posix, hsmsideband).")
SIZE_BYTES = Reading("storage_size_bytes", "Bytes of the file system, used and free (posix, hsmsideband).")
RECALLS = Reading("recalls", "Files to be recalled: `new`, `waiting` for their volume, or `started`.", ("state",))
RECALLS_ENDED = Reading("recalls_ended", "Recalls that have `completed` or `failed`.", ("state",), is_counter=True)
RECALLED_BYTES = Reading("recalled_bytes", "Bytes of files that were recalled.", is_counter=True)
RECALLERS = Reading("recaller_at_work", "1 if a recaller is at work, on whichever host, else 0.")
OLDEST_RECALL = Reading("recalls_oldest_waiting_seconds", "How long the file has waited that has waited longest.")
VOLUMES = Reading("recall_volumes", "Volumes, such as tapes, for which recalls wait or are under way.")
VOLUME_WAITING = Reading("recall_volume_waiting_files", "Files that wait for this volume.", ("volume",))
VOLUME_BYTES = Reading("recall_volume_waiting_bytes", "Bytes of the files that wait for this volume.", ("volume",))
VOLUME_STARTED = Reading("recall_volume_started_files", "Files that are being recalled from this volume.", ("volume",))
BUILD = Reading("build_info", "1; the labels tell what runs.", ("version", "python", "backend"))
READINGS = (
    IN_FLIGHT,
    PROCESSES,
    READY,
    FREE_BYTES,
    SIZE_BYTES,
    RECALLS,
    RECALLS_ENDED,
    RECALLED_BYTES,
    RECALLERS,
    OLDEST_RECALL,
    VOLUMES,
    VOLUME_WAITING,
    VOLUME_BYTES,
    VOLUME_STARTED,
    BUILD,
)


class Timed:
    """Counts how long a block takes in a histogram, with these values of its labels."""

    def __init__(self, histogram: Histogram, *values: str) -> None:
        """Count in *histogram*."""
        self._histogram, self._cell = histogram, histogram.cell(*values)
        self._began = 0.0

    def __enter__(self) -> None:
        """Begin."""
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        """Count, even what failed."""
        CELLS.add(*self._histogram.changes(self._cell, perf_counter() - self._began))
