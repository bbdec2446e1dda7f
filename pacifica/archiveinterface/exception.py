"""What can go wrong, one class each; `http.errors` gives each its HTTP status.

A message is read by the client: it says what to change and names no path of the server.
"""

import errno
from typing import Literal

AuthFailure = Literal["no_credentials", "wrong_credentials", "no_permission", "not_local"]
"""Why a client is not let in; requests are counted by these words, which `metrics.definitions` explains."""


Limit = Literal["quota", "requests", "transfers"]
"""The limit that a request would exceed; requests are counted by these words, which `metrics.definitions` explains."""


class ArchiveInterfaceError(Exception):
    """Anything that this service reports; the message is for the client."""

    retry_after: int | None = None  # seconds
    auth_failure: AuthFailure | None = None  # None: not because of who asked
    limit: Limit | None = None


class ConfigurationError(ArchiveInterfaceError):
    """A setting, a file of settings, a backend's name or a prefix is wrong."""


class RequestError(ArchiveInterfaceError):
    """The request itself is wrong; nothing but another request will succeed."""


class HeadError(RequestError):
    """The request line or a header field is malformed."""


class FileIdError(RequestError):
    """An id or a name that no file of the archive can have."""


class ModTimeError(RequestError):
    """A Last-Modified in none of the accepted forms."""


class ByteRangeError(RequestError):
    """A ``byte_range`` query that is not ``first-end``."""


class BodyError(RequestError):
    """The request body is shorter than announced, malformed, or did not come in time."""


class LateBodyError(BodyError):
    """The rest of the request body did not come in time."""


class DigestError(RequestError):
    """A malformed digest header, or two that disagree."""


class DigestMismatchError(RequestError):
    """The bytes received do not have the digest that the client sent."""


class NotARegularFileError(RequestError):
    """A directory, link or device where a file is needed."""


class ForbiddenPathError(ArchiveInterfaceError):
    """A path outside the places that the archive may touch, or through a symbolic link."""


class NotAllowedError(ArchiveInterfaceError):
    """The site does not allow what was asked for, nobody or, for the reason *auth_failure*, this client."""

    def __init__(self, message: str, auth_failure: AuthFailure | None = None) -> None:
        """Say what is not allowed."""
        super().__init__(message)
        self.auth_failure = auth_failure


class MissingFileError(ArchiveInterfaceError):
    """No such file in the archive."""


class MissingPageError(ArchiveInterfaceError):
    """A path that the service keeps for pages of its own, and that has none."""


class MissingRequestError(ArchiveInterfaceError):
    """No such request of the tape API; it was deleted, or is too old."""


class MethodError(ArchiveInterfaceError):
    """The resource does not know this method; *allow* lists those it knows."""

    def __init__(self, allow: str) -> None:
        """Name the methods that the resource knows, as the Allow header wants them."""
        super().__init__(f"this resource knows {allow}")
        self.allow = allow


class ConflictError(ArchiveInterfaceError):
    """The target exists and may not be replaced, or the object cannot be had now."""


class ExistingFileError(ConflictError):
    """A file has the name already, and may not be replaced."""


class TransferCodingError(ArchiveInterfaceError):
    """A body in a transfer coding that is not supported."""


class UnsupportedError(ArchiveInterfaceError):
    """Something that this installation does not have, or cannot do as it is configured."""


class UnauthenticatedError(ArchiveInterfaceError):
    """The client has not said who it is; *scheme* is how it can (RFC 9110, 11.6.1)."""

    def __init__(self, message: str, scheme: str, auth_failure: AuthFailure = "wrong_credentials") -> None:
        """Name the scheme for WWW-Authenticate."""
        super().__init__(message)
        self.scheme = scheme
        self.auth_failure = auth_failure


class HttpVersionError(ArchiveInterfaceError):
    """A major version of HTTP that is not supported."""


class LengthRequiredError(ArchiveInterfaceError):
    """A body with neither Content-Length nor chunked coding."""


class PreconditionError(ArchiveInterfaceError):
    """An If-... header does not hold."""


class AbsentFileError(PreconditionError):
    """The request may only replace a file, and there is none."""


class BodyTooLargeError(ArchiveInterfaceError):
    """More bytes than the site or its file system takes."""


class MediaTypeError(ArchiveInterfaceError):
    """A body that is not ``application/json`` where JSON is needed."""


class RangeNotSatisfiableError(ArchiveInterfaceError):
    """None of the ranges asked for lies within the *filesize* bytes of the file."""

    def __init__(self, filesize: int) -> None:
        """Remember the size, which the answer must tell."""
        super().__init__(f"the file has {filesize} bytes")
        self.filesize = filesize


class StorageError(ArchiveInterfaceError):
    """The storage failed, or was changed by others."""


class DamagedFileError(StorageError):
    """The stored bytes are no longer those that were stored."""


class UncheckedFileError(StorageError):
    """The stored bytes cannot be verified: this installation cannot compute any of their digests."""


class BackendUnavailableError(ArchiveInterfaceError):
    """The storage does not answer now; later it may."""

    retry_after = 30


class StorageBusyError(BackendUnavailableError):
    """The storage takes no more for now. That says nothing about the file that it was asked for."""


class OfflineError(BackendUnavailableError):
    """The file is on tape only, and nobody was asked for its recall."""


class BeingStagedError(BackendUnavailableError):
    """The file is on tape only; its recall is under way."""


class TooManyListenersError(BackendUnavailableError):
    """As many clients listen to events as may."""


class TooManyRequestsError(ArchiveInterfaceError):
    """More is asked for than the service takes at a time."""

    retry_after = 60


class RateError(TooManyRequestsError):
    """More requests, or transfers at a time, than a principal may have."""

    def __init__(self, message: str, limit: Limit, retry_after: int) -> None:
        """Name the limit, and the seconds after which the request may be repeated."""
        super().__init__(message)
        self.limit, self.retry_after = limit, retry_after


class NoSpaceError(ArchiveInterfaceError):
    """No space is left, or less than the reserve, or the quota is used up."""


class QuotaError(NoSpaceError):
    """More would be stored than the site lets be stored, in all or for the owner of the file."""

    limit: Limit | None = "quota"


_UNAVAILABLE = (BackendUnavailableError, "the storage does not answer now, try again later")
_NO_SPACE = (NoSpaceError, "no space is left for this file")
_MISSING = (MissingFileError, "no such file in the archive")
_BY_ERRNO: dict[int, tuple[type[ArchiveInterfaceError], str]] = {
    errno.ENOENT: _MISSING,
    errno.ENOTDIR: _MISSING,
    errno.ELOOP: (ForbiddenPathError, "the path leads through a symbolic link"),
    errno.ENAMETOOLONG: (FileIdError, "the name is longer than the file system takes"),
    errno.EEXIST: (ExistingFileError, "the target exists already"),
    errno.EISDIR: (ConflictError, "a directory has this name"),
    errno.EFBIG: (BodyTooLargeError, "the file is larger than the file system takes"),
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EAGAIN: (StorageBusyError, "the storage is busy, try again later"),
    **dict.fromkeys(
        (
            errno.EBUSY,
            errno.ECONNABORTED,
            errno.ECONNREFUSED,
            errno.ECONNRESET,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
            errno.EINPROGRESS,
            errno.EINTR,
            errno.EMFILE,
            errno.ENETUNREACH,
            errno.ENFILE,
            errno.ENOMEM,
            errno.ENOTCONN,
            errno.EPIPE,
            errno.EROFS,
            errno.ESTALE,
            errno.ETIMEDOUT,
        ),
        _UNAVAILABLE,
    ),
}


def archive_error(error: OSError) -> ArchiveInterfaceError:
    """Return the error of ours that *error* stands for, by errno; StorageError (500) for an errno not in the table."""
    kind, message = _BY_ERRNO.get(error.errno or 0, (StorageError, "the storage failed"))
    return kind(message)


class _Translation:
    # Not a generator, as contextmanager would have it: every request passes several of these blocks.
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise archive_error(error) from error


_translation = _Translation()


def translated_os_errors() -> _Translation:
    """Turn an OSError that leaves the block into one of ours, the cause kept for the log."""
    return _translation
