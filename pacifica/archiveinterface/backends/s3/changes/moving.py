"""Moving an object within the bucket: a copy that the store makes, and the removal of the old one.

A process that is killed between the two leaves both; the same request again completes the move.
"""

import logging

from ....exception import ConflictError, MissingFileError, NotARegularFileError
from ....globals import LOG_NAME
from ...abstract.moving import allowed_place
from ...abstract.naming import id_of_path
from ...abstract.precondition import Precondition
from ...abstract.status import NOTHING_REPLACED, Replaced
from ...abstract.undoing import UndoOnError
from ..calls.bucket import Condition
from ..calls.errors import StoreConditionError
from ..notes import NOTES, Kept, new_token
from ..status import S3Status
from ..store import SCHEME, Store
from ..writing.publishing import publish
from .copying import Copy
from .removing import remove

_log = logging.getLogger(LOG_NAME)


def move(store: Store, old_path: str, filepath: str, precondition: Precondition | None) -> Replaced:
    """Make the object *old_path*, ``s3://bucket/key``, the file *filepath*; return what that was.

    Raises ForbiddenPathError, NotARegularFileError, MissingFileError, PreconditionError, ConflictError.
    """
    source = _source(store, old_path)
    if source.filepath == filepath:
        if precondition:
            precondition.check(source)
        return NOTHING_REPLACED
    if source.is_archived:
        raise ConflictError("the file is on tape only: have it staged before it is moved")
    kept = source.kept._replace(token=new_token(), mtime=source.mtime, size=source.filesize, damaged=source.damaged)
    copy = Copy(store, source, filepath, kept)
    with UndoOnError(copy.discard):
        replaced = publish(store, copy, precondition).replaced
    try:
        remove(store, source, Condition(source.store_etag))
    except StoreConditionError:
        _log.warning("%s: another object was stored here while it was moved, and stays", source.filepath)
    return replaced


def _source(store: Store, old_path: str) -> S3Status:
    root = f"/{store.prefix.removeprefix(SCHEME)}"
    _, path = allowed_place(f"/{old_path.removeprefix(SCHEME)}", (root,), (NOTES,), str.encode)
    filepath = f"{store.prefix}/{path}"
    try:
        answer = store.bucket.head(store.key(filepath))
    except MissingFileError as error:
        if store.bucket.has_any(f"{store.key(filepath)}/"):
            raise NotARegularFileError("path is a directory") from error
        raise
    if id_of_path(path) is None:
        # The metadata of other objects were not written by this service.
        return S3Status.of(filepath, answer, Kept(), store.s3.archive_classes)
    return store.status_of(filepath, answer)
