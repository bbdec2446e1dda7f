"""The check at start: the bucket exists, and the store compares conditions when it writes."""

from contextlib import suppress

from ...exception import ArchiveInterfaceError, ConfigurationError, StorageError
from .calls.bucket import Bucket, Condition
from .calls.errors import MissingBucketError, StoreConditionError, reason_of
from .notes import NOTES, new_token
from .store import Store

_REFUSED = (Condition(is_new=True), Condition(match='"another"'))


def require_usable(store: Store) -> None:
    """Raise ConfigurationError unless the bucket exists and the store compares conditions when it writes.

    A store that has passed is not checked again. Creates the bucket if ``create_bucket`` is set. Raises
    BackendUnavailableError when the store does not answer.
    """
    if store.is_usable:
        return
    bucket = store.bucket
    _require_bucket(bucket)
    key = store.key(f"{store.prefix}/{NOTES}/probe-{new_token()}")
    try:
        with suppress(StoreConditionError):  # the answer was lost, and boto3 has repeated the call
            bucket.put(key, b"", {}, Condition(is_new=True))
        for condition in _REFUSED:
            _require_refusal(bucket, key, condition)
    except StorageError as error:
        raise _unusable(bucket, "cannot be written to", error) from error
    finally:
        with suppress(ArchiveInterfaceError):
            bucket.delete(key)
    store.is_usable = True


def _require_bucket(bucket: Bucket) -> None:
    try:
        bucket.require()
    except MissingBucketError as error:
        if not bucket.options.create_bucket:
            raise _unusable(bucket, "is not there", error) from error
        _create(bucket)
    except StorageError as error:
        raise _unusable(bucket, "cannot be listed", error) from error


def _create(bucket: Bucket) -> None:
    try:
        bucket.create()
    except StorageError as error:
        with suppress(StorageError):  # another process has made it just now
            bucket.require()
            return
        raise _unusable(bucket, "cannot be made", error) from error


def _unusable(bucket: Bucket, finding: str, error: StorageError) -> ConfigurationError:
    return ConfigurationError(f"[s3] the bucket {bucket.name!r} {finding}: {reason_of(error)}")


def _require_refusal(bucket: Bucket, key: str, condition: Condition) -> None:
    """Raise ConfigurationError unless the store refuses to replace the object *key* under the *condition*."""
    with suppress(StoreConditionError):
        bucket.put(key, b"", {}, condition)
        raise ConfigurationError(f"[s3] the store ignores {' and '.join(condition.parameters)} of an upload")
    upload = bucket.create_upload(key, {})
    try:
        with suppress(StoreConditionError):
            bucket.complete(key, upload, [bucket.put_part(key, upload, 1, b"probe")], condition)
            raise ConfigurationError(
                f"[s3] the store ignores {' and '.join(condition.parameters)} of multipart uploads"
            )
    finally:
        with suppress(ArchiveInterfaceError):
            bucket.abort(key, upload)
