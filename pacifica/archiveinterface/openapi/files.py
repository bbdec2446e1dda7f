"""The operations on files, and on the root of the archive."""

from collections.abc import Mapping

from .headers import STATUS_OF_FILE
from .operation import JSON, TEXT, Body, Operation, Schema, Success, schema, struct

_DIGESTS = ("Repr-Digest", "Digest")
_TOLD = ("ETag", "Last-Modified", "Accept-Ranges", *_DIGESTS)
_CONDITIONS = ("If-Match", "If-None-Match", "If-Unmodified-Since")
_ASKED = (*_CONDITIONS, "If-Modified-Since", "Want-Repr-Digest", "Want-Digest")
_ANNOUNCED = ("Content-Digest", "Repr-Digest", "Digest", "Content-MD5")
_BYTES = Body("application/octet-stream")
_MESSAGE = Body(JSON, schema("Message"))
_ALLOWED = Success("the methods, in `Allow`", ["Allow"])
_OF_A_FILE = ("GET /{id}", "HEAD /{id}", "POST /{id}", "DELETE /{id}")
_NOT_MODIFIED = Success("the client has the file", ["ETag", "Last-Modified"])

_BYTE_RANGE: Schema = {"type": "string", "pattern": "^[0-9]{1,18}-[0-9]{1,18}$"}

SCHEMAS: Mapping[str, Schema] = {
    "Error": struct({"status": TEXT, "message": TEXT, "traceback": TEXT, "version": TEXT}),
    "Message": struct({"message": TEXT}),
    "Stored": struct({"message": TEXT, "total_bytes": {"type": "string", "pattern": "^[0-9]+$"}}),
    "Staged": struct({"file": TEXT, "message": TEXT}),
    "Move": struct({"path": {"type": "string", "minLength": 1, "description": "of a file that the storage holds"}}),
}

ROOT: Mapping[str, Operation] = {
    "GET": Operation("Tell that the service runs", {200: Success("it runs", body=_MESSAGE)}),
    "HEAD": Operation("Tell that the service runs", {200: Success("it runs")}),
    "OPTIONS": Operation("List the methods", {200: _ALLOWED}),
}

FILE: Mapping[str, Operation] = {
    "GET": Operation(
        "Read the file",
        {
            200: Success("the bytes of the file", _TOLD, _BYTES),
            206: Success("the ranges that `Range` names", ("Content-Range", *_TOLD), Body("*/*")),
            304: _NOT_MODIFIED,
            307: Success("the store has the bytes (`[http] sendfile = presigned`)", ("Location", *_TOLD)),
        },
        errors=(403, 404, 409, 412, 416, 429),
        headers=("Range", "If-Range", *_ASKED),
        query={"byte_range": {**_BYTE_RANGE, "description": "first byte, and the byte after the last: `0-10`"}},
    ),
    "HEAD": Operation(
        "Tell the status of the file",
        {
            200: Success("the file is there (`[http] head = standard`)", (*_TOLD, *STATUS_OF_FILE)),
            204: Success("the file is there", (*_TOLD, *STATUS_OF_FILE)),
            304: _NOT_MODIFIED,
        },
        errors=(403, 404, 412),
        headers=_ASKED,
    ),
    "PUT": Operation(
        "Store the body as the file",
        {201: Success("the file is stored", ("ETag", *_DIGESTS), Body(JSON, schema("Stored")), _OF_A_FILE)},
        errors=(403, 409, 411, 412, 413, 507),
        headers=(*_CONDITIONS, *_ANNOUNCED, "Last-Modified", "Want-Repr-Digest", "Want-Digest"),
        body=_BYTES,
    ),
    "POST": Operation(
        "Stage the file",
        {
            200: Success("the file is on disk", body=Body(JSON, schema("Staged"))),
            202: Success("the file is being recalled", ["Retry-After"], Body(JSON, schema("Staged"))),
        },
        errors=(403, 404, 409, 429),
    ),
    "PATCH": Operation(
        "Move a file of the storage to this id",
        {200: Success("the file was moved", body=_MESSAGE)},
        errors=(403, 404, 409, 411, 412, 413, 415, 507),
        headers=_CONDITIONS,
        body=Body(JSON, schema("Move")),
    ),
    "DELETE": Operation(
        "Delete the file",
        {200: Success("the file was deleted", body=_MESSAGE)},
        errors=(403, 404, 409, 412),
        headers=_CONDITIONS,
    ),
    "OPTIONS": Operation("List the methods", {200: _ALLOWED}),
}
