"""The operations of the tape API."""

from collections.abc import Mapping

from .operation import INTEGER, JSON, TEXT, Body, Operation, Schema, Success, array, schema, struct

_PATH: Schema = {"type": "string", "maxLength": 4096}
# As many parts of an ISO 8601 duration as clients send; the service takes all.
_DURATION: Schema = {"type": "string", "pattern": "^P([0-9]{1,4}[DW]|[0-9]{1,4}DT[0-9]{1,4}H|T[0-9]{1,6}[HMS])$"}
_REFUSED = (411, 413, 415)  # of requests with a body
_STATES = ["SUBMITTED", "STARTED", "COMPLETED", "FAILED", "CANCELLED"]
_LOCALITIES = ["DISK", "TAPE", "DISK_AND_TAPE", "LOST", "NONE", "UNAVAILABLE"]
_OF_A_REQUEST = (
    "GET /api/v1/stage/{request}",
    "DELETE /api/v1/stage/{request}",
    "POST /api/v1/stage/{request}/cancel",
)
_PATHS = Body(JSON, schema("Paths"))
_ALLOWED = Success("the methods, in `Allow`", ["Allow"])

SCHEMAS: Mapping[str, Schema] = {
    "Problem": struct({"type": TEXT, "title": TEXT, "status": INTEGER, "detail": TEXT}, {"traceback": TEXT}),
    "Discovery": struct({"sitename": TEXT, "endpoints": array(schema("Endpoint"))}),
    "Endpoint": struct({"uri": TEXT, "version": {"const": "v1"}, "metadata": {"type": "object"}}),
    "StageRequest": struct({"files": array(schema("Wish"))}),
    "Wish": struct(
        {"path": _PATH},
        {
            "diskLifetime": {"anyOf": [_DURATION, {"type": "null"}]},
            "targetedMetadata": {"type": ["object", "null"]},
        },
    ),
    "Paths": struct({"paths": array(_PATH)}),
    "Accepted": struct({"requestId": TEXT}),
    "Progress": struct(
        {
            "id": TEXT,
            "createdAt": INTEGER,
            "startedAt": INTEGER,
            "nextSince": INTEGER,
            "files": {"type": "array", "items": schema("FileProgress")},
        },
        {"completedAt": INTEGER},
    ),
    "FileProgress": struct(
        {"path": TEXT, "state": {"enum": _STATES}},
        {
            "startedAt": INTEGER,
            "finishedAt": INTEGER,
            "error": TEXT,
            "position": INTEGER,
            "estimatedSeconds": INTEGER,
        },
    ),
    "Locality": struct({"path": TEXT}, {"locality": {"enum": _LOCALITIES}, "error": TEXT}),
}


def _resource(operations: Mapping[str, Operation]) -> Mapping[str, Operation]:
    """Return the *operations* on a resource, with HEAD where there is GET, and OPTIONS."""
    found = {**operations, "OPTIONS": Operation("List the methods", {200: _ALLOWED})}
    if "GET" in operations:
        read = operations["GET"]
        found["HEAD"] = read._replace(
            successes={status: success._replace(body=None) for status, success in read.successes.items()}
        )
    return found


TAPE: Mapping[str, Mapping[str, Operation]] = {
    "/.well-known/wlcg-tape-rest-api": _resource(
        {"GET": Operation("Tell where the API is", {200: Success("its URL", body=Body(JSON, schema("Discovery")))})}
    ),
    "/api/v1/stage": _resource(
        {
            "POST": Operation(
                "Have files recalled",
                {201: Success("the id of the request", ["Location"], Body(JSON, schema("Accepted")), _OF_A_REQUEST)},
                errors=(*_REFUSED, 429),
                body=Body(JSON, schema("StageRequest")),
            )
        }
    ),
    "/api/v1/stage/*": _resource(
        {
            "GET": Operation(
                "Tell how far the files of the request are",
                {200: Success("the files", ["Cache-Control"], Body(JSON, schema("Progress")))},
                errors=(404,),
                query={"since": {"type": "integer", "minimum": 0, "description": "only what has changed since then"}},
            ),
            "DELETE": Operation("Cancel and forget the request", {200: Success("it is gone")}, errors=(404,)),
        }
    ),
    "/api/v1/stage/*/cancel": _resource(
        {
            "POST": Operation(
                "Cancel recalls", {200: Success("they are cancelled")}, errors=(*_REFUSED, 404), body=_PATHS
            )
        }
    ),
    "/api/v1/release/*": _resource(
        {"POST": Operation("End pins", {200: Success("they have ended")}, errors=_REFUSED, body=_PATHS)}
    ),
    "/api/v1/archiveinfo": _resource(
        {
            "POST": Operation(
                "Tell where files are",
                {200: Success("their localities", body=Body(JSON, array(schema("Locality"))))},
                errors=_REFUSED,
                body=_PATHS,
            )
        }
    ),
}
