"""Moving an object within the bucket: a copy that the store makes, and the removal of the old one."""

from ...exception import ConflictError, NotARegularFileError, RequestError
from ..abstract.moving import allowed_place
from ..abstract.naming import id_of_path
from ..abstract.precondition import Precondition
from ..abstract.replacing import OtherBytesError
from .notes import NOTES, Kept, new_token
from .publishing import condition_for, forget
from .status import S3Status
from .store import SCHEME, Store


def move(store: Store, old_path: str, filepath: str, precondition: Precondition | None) -> None:
    """Make the object *old_path* the file *filepath*.

    Raises ForbiddenPathError, NotARegularFileError, MissingFileError, PreconditionError, ConflictError.
    """
    source = _source(store, old_path)
    existing = store.existing(filepath)
    condition = condition_for(store, existing, precondition)
    if source.filepath == filepath:
        return
    if existing and not store.options.may_replace:
        raise OtherBytesError
    if not source.residency.is_online:
        raise ConflictError("the file is on tape only: have it staged before it is moved")
    key, kept = store.key(filepath), _kept(store, source)
    store.bucket.copy(
        key, store.bucket.source(store.key(source.filepath), source.store_etag), kept.metadata(), condition
    )
    store.bucket.delete(store.key(source.filepath))
    for gone in (source, existing):
        if gone:
            forget(store, gone)


def _source(store: Store, old_path: str) -> S3Status:
    if not old_path.startswith(SCHEME):
        allowed_place(old_path, store.options.move_roots, ())
        raise RequestError("path is not s3://bucket/key")
    root = f"/{store.prefix.removeprefix(SCHEME)}"
    _, path = allowed_place(f"/{old_path.removeprefix(SCHEME)}", (root,), (NOTES,), str.encode)
    filepath = f"{store.prefix}/{path}"
    status = store.existing(filepath)
    if status is None and next(iter(store.bucket.pages("list_objects_v2", Prefix=f"{store.key(filepath)}/")), {}).get(
        "Contents"
    ):
        raise NotARegularFileError("path is a directory")
    return status or store.describe(filepath)


def _kept(store: Store, source: S3Status) -> Kept:
    """Return what is kept with the copy. The metadata of other objects were not written by this service."""
    path = source.filepath.removeprefix(f"{store.prefix}/")
    known = source.kept if id_of_path(path) is not None else Kept()
    return known._replace(token=new_token(), mtime=source.mtime, size=source.filesize)
