"""The operations on the pages of the service."""

from collections.abc import Mapping, Sequence

from .operation import INTEGER, JSON, TEXT, Body, Operation, Schema, Success, schema, struct

_NUMBER: Schema = {"type": "number"}
_BOOLEAN: Schema = {"type": "boolean"}
_NOW = ("Cache-Control",)

SCHEMAS: Mapping[str, Schema] = {
    "Health": struct({"status": {"const": "ok"}}),
    "Version": struct({"name": TEXT, "version": TEXT, "backend": TEXT, "api": TEXT}),
    "Check": struct({"ok": _BOOLEAN}, {"message": TEXT}),
    "Ready": struct({"status": TEXT, "checks": {"type": "object", "additionalProperties": schema("Check")}}),
    "Queues": struct(
        {
            "has_recaller": _BOOLEAN,
            "new_files": INTEGER,
            "waiting_files": INTEGER,
            "started_files": INTEGER,
            "oldest_seconds": _NUMBER,
            "files_per_second": _NUMBER,
            "completed_files": INTEGER,
            "completed_bytes": INTEGER,
            "failed_files": INTEGER,
            "volumes": {"type": "array", "items": schema("Queue")},
        }
    ),
    "Queue": struct(
        {
            "name": TEXT,
            "is_active": _BOOLEAN,
            "waiting_files": INTEGER,
            "waiting_bytes": INTEGER,
            "in_flight": INTEGER,
            "ahead": INTEGER,
            "oldest_seconds": _NUMBER,
        }
    ),
}


def _page(summary: str, success: Success, errors: Sequence[int] = ()) -> Mapping[str, Operation]:
    """Return the operations on a page that is read."""
    return {
        "GET": Operation(summary, {200: success}, errors),
        "HEAD": Operation(summary, {200: success._replace(body=None)}, errors),
    }


_GUARDED = (401, 403, 404)
_METRICS = Success("metrics for Prometheus", _NOW, Body("text/plain", TEXT))
_QUEUES = Success("the queues", _NOW, Body(JSON, schema("Queues")))
_EVENTS = Success("the queues whenever they change", _NOW, Body("text/event-stream"))

PAGES: Mapping[str, Mapping[str, Operation]] = {
    "/-/health": _page("Tell whether the process lives", Success("it lives", _NOW, Body(JSON, schema("Health")))),
    "/-/ready": _page("Tell whether the service can serve", Success("it can", _NOW, Body(JSON, schema("Ready")))),
    "/-/version": _page("Tell what serves", Success("name and versions", _NOW, Body(JSON, schema("Version")))),
    "/-/openapi.json": _page("Describe the interface", Success("this document", body=Body(JSON, {"type": "object"}))),
    "/-/metrics": _page("Tell what the service has counted and timed", _METRICS, _GUARDED),
    "/-/recalls": _page("Tell what waits for tape", _QUEUES, _GUARDED),
    "/-/recalls/events": {
        "GET": Operation("Follow what waits for tape", {200: _EVENTS}, (*_GUARDED, 429), headers=["Last-Event-ID"]),
    },
}
