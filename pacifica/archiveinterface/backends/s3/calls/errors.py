"""The errors of boto3 and of the store, as errors of this service."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import ResponseParserError

from ....exception import (
    ArchiveInterfaceError,
    BackendUnavailableError,
    BeingStagedError,
    BodyTooLargeError,
    ConflictError,
    DamagedFileError,
    MissingFileError,
    NoSpaceError,
    OfflineError,
    PreconditionError,
    StorageBusyError,
    StorageError,
)


class StoreConditionError(PreconditionError):
    """The store has another object, or none, in the place of the one that was named."""


class ConcurrentWriteError(StorageBusyError):
    """Another client is writing the same object; the upload has to be repeated."""


class MissingUploadError(BackendUnavailableError):
    """The store does not know this multipart upload: it is completed or aborted. The file can be sent again."""


class RestoreRunningError(BeingStagedError):
    """The object is being restored already."""


class UnknownCallError(StorageError):
    """The store does not have this call."""


class MissingBucketError(StorageError):
    """The bucket is not there."""


class NotArchivedError(ConflictError):
    """The object is in no archive class, or can be read already."""


_MISSING = (MissingFileError, "no such file in the archive")
_CONDITION = (StoreConditionError, "the file was changed meanwhile")
_OFFLINE = (OfflineError, "the file is on tape only")
_BUSY = (StorageBusyError, "the storage is busy, try again later")
_UNAVAILABLE = (BackendUnavailableError, "the storage does not answer now, try again later")
_NO_SPACE = (NoSpaceError, "no space is left for this file")
_BAD_BYTES = (BackendUnavailableError, "the storage received other bytes than were sent, send them again")
_SKEWED = (BackendUnavailableError, "the clocks of this service and of the storage differ too much")

_CONNECTION_ERRORS = (ConnectionError, HTTPClientError, IncompleteReadError, ResponseParserError)
_BY_CODE: dict[str, tuple[type[ArchiveInterfaceError], str]] = {
    **dict.fromkeys(("NoSuchKey", "404", "NotFound"), _MISSING),
    "NoSuchBucket": (MissingBucketError, "the bucket of the archive is not there"),
    **dict.fromkeys(("PreconditionFailed", "412"), _CONDITION),
    "ConditionalRequestConflict": (ConcurrentWriteError, "another request writes this file, try again later"),
    "NoSuchUpload": (MissingUploadError, "the storage has lost the upload, send the file again"),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _SKEWED),
    **dict.fromkeys(("InvalidObjectState", "ObjectNotInActiveTierError"), _OFFLINE),
    "RestoreAlreadyInProgress": (RestoreRunningError, "the file is being staged from tape"),
    "ObjectAlreadyInActiveTierError": (NotArchivedError, "the file is on disk"),
    **dict.fromkeys(
        ("MethodNotAllowed", "NotImplemented", "405", "501"), (UnknownCallError, "the storage cannot do this")
    ),
    "GlacierExpeditedRetrievalNotAvailable": (
        StorageBusyError,
        "the storage has no capacity for Expedited restores now, try again later",
    ),
    **dict.fromkeys(
        ("SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"), _BUSY
    ),
    **dict.fromkeys(("InternalError", "ServiceUnavailable", "RequestTimeout"), _UNAVAILABLE),
    "EntityTooLarge": (BodyTooLargeError, "the file is larger than the storage takes"),
    **dict.fromkeys(("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"), _NO_SPACE),
    **dict.fromkeys(
        ("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidPart"), _BAD_BYTES
    ),
}


class _Translation:
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ClientError):
            raise _error_of_answer(error) from error
        if isinstance(error, FlexibleChecksumError):
            raise DamagedFileError("the file is damaged: its bytes do not have the checksum of the storage") from error
        if isinstance(error, _CONNECTION_ERRORS):
            kind, message = _UNAVAILABLE
            raise kind(message) from error
        if isinstance(error, BotoCoreError):
            raise StorageError("the storage cannot be asked") from error


_translation = _Translation()


def reason_of(error: ArchiveInterfaceError) -> str:
    """Return in one line what boto3 or the store says is wrong."""
    return " ".join(str(error.__cause__ or error).split())


def translated_store_errors() -> _Translation:
    """Turn an error of boto3 that leaves the block into one of ours, the cause kept for the log."""
    return _translation


def _error_of_answer(error: ClientError) -> ArchiveInterfaceError:
    """Return the error of ours for an answer of the store: by its code, else by its HTTP status."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    by_status = _UNAVAILABLE if status >= 500 else (StorageError, "the storage refuses the request")
    kind, message = _BY_CODE.get(code, by_status)
    return kind(message)
