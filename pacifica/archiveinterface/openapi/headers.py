"""The header fields of the interface: what each means, and which values it has."""

from collections.abc import Mapping

from .operation import INTEGER, TEXT, Schema

_LIST: Schema = {"type": "string", "description": "a list, separated by commas"}

# Of requests. A value that is malformed is an error where the meaning says so, and ignored otherwise.
REQUEST: Mapping[str, tuple[str, Schema]] = {
    "Range": ("one range of bytes, or up to 64; a malformed one is ignored", TEXT),
    "If-Range": ("send the range only if the file has this entity tag or date, else the whole file", TEXT),
    "If-None-Match": ("entity tags or `*`: GET and HEAD are answered with 304, others with 412, if one matches", _LIST),
    "If-Modified-Since": ("answer with 304 unless the file is newer", TEXT),
    "If-Match": ("entity tags or `*`: answer with 412 unless one matches", _LIST),
    "If-Unmodified-Since": ("answer with 412 if the file is newer", TEXT),
    "Last-Modified": ("the modification time to store: an HTTP date, ISO 8601 or epoch seconds; else 400", TEXT),
    "Content-Digest": ("digests that the bytes must have (RFC 9530); else 400", _LIST),
    "Repr-Digest": ("digests that the bytes must have (RFC 9530); else 400", _LIST),
    "Digest": ("digests that the bytes must have (RFC 3230); else 400", _LIST),
    "Content-MD5": ("the MD5 digest that the bytes must have, in base64; else 400", TEXT),
    "Want-Repr-Digest": ("which of the stored digests to tell (RFC 9530)", _LIST),
    "Want-Digest": ("which of the stored digests to tell in `Digest` (RFC 3230)", _LIST),
    "Last-Event-ID": ("the last event that the client knows", TEXT),
    "X-Request-Id": ("an id of the request, which answer and log repeat; one that is malformed is replaced", TEXT),
}

# Of answers.
ANSWER: Mapping[str, tuple[str, Schema]] = {
    "Accept-Ranges": ("the unit of ranges", {"const": "bytes"}),
    "Allow": ("the methods of the resource", TEXT),
    "Cache-Control": ("the answer is true for this moment only", TEXT),
    "Content-Range": ("the range that is sent, and the size of the file", TEXT),
    "Digest": ("digests of the whole file (RFC 3230), if `Want-Digest` asks for one that is stored", TEXT),
    "ETag": ("the entity tag of the file, strong", TEXT),
    "Last-Modified": ("the modification time; of HEAD in epoch seconds unless `[http] head = standard`", TEXT),
    "Location": ("where the bytes, or the new request, are", TEXT),
    "Repr-Digest": ("the stored digests of the whole file (RFC 9530)", TEXT),
    "Retry-After": ("seconds after which to ask again", INTEGER),
    "WWW-Authenticate": ("how a client says who it is", TEXT),
    "X-Content-Length": ("bytes of the file", TEXT),
    "X-Pacifica-Bytes-Per-Level": ("bytes on each storage level, the fastest first", TEXT),
    "X-Pacifica-Ctime": ("when the inode changed, in epoch seconds", TEXT),
    "X-Pacifica-File": ("the path on the storage", TEXT),
    "X-Pacifica-File-Storage-Media": ("`disk` if the file can be read now, `tape` if it has to be staged", TEXT),
    "X-Pacifica-Message": ("whether the file was found", TEXT),
    "X-Pacifica-Messsage": ("the same; clients rely on the name with three s", TEXT),
    "X-Pacifica-Recall": ("`queued` or `active` while a recall is under way", TEXT),
    "X-Request-Id": ("the id of the request", {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
}

STATUS_OF_FILE = (
    "X-Content-Length",
    "X-Pacifica-Bytes-Per-Level",
    "X-Pacifica-Ctime",
    "X-Pacifica-File",
    "X-Pacifica-File-Storage-Media",
    "X-Pacifica-Message",
    "X-Pacifica-Messsage",
    "X-Pacifica-Recall",
)
"""What HEAD tells of a file beside what GET does."""
