"""The OpenAPI document, made of the tables of this package."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..globals import VERSION
from . import errors, files, headers, pages, tape
from .operation import Body, Operation, Success, named
from .security import Protection

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "a decimal number of at most 2^63-1; on POSIX without `use_id2filename` also a plain file name",
    "schema": {"type": "string", "pattern": r"^[^./\x00][^/\x00]{0,63}$"},
}
_REQUEST = {"name": "request", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/]+$"}}


def document(paths: Iterable[str], protection: Protection | None = None) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service with pages at *paths*, where ``*`` is the id of a request.

    It tells of users and limits what *protection* has; by default there are none.
    """
    shown = _Document(protection or Protection())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pacifica Archive Interface",
            "version": VERSION,
            "description": "Files in hierarchical storage, on disk and tape. `PROPFIND` of WebDAV, which OpenAPI has no"
            " word for, works with `[http] head = standard`.",
        },
        **shown.protection.of_document(),
        "paths": {
            "/": shown.path_item("/", files.ROOT, errors.ERROR),
            "/{id}": {"parameters": [_ID], **shown.path_item("/{id}", files.FILE, errors.ERROR)},
            **{path.replace("*", "{request}"): shown.page(path) for path in paths},
        },
        "components": {**_components(), **shown.protection.of_components()},
    }


class _Document(NamedTuple):
    """What all operations of a document have in common."""

    protection: Protection

    def page(self, path: str) -> dict[str, Any]:
        operations, error = (
            (tape.TAPE[path], errors.PROBLEM) if path in tape.TAPE else (pages.PAGES[path], errors.ERROR)
        )
        item = self.path_item(path, operations, error)
        return {"parameters": [_REQUEST], **item} if "*" in path else item

    def path_item(self, path: str, operations: Mapping[str, Operation], error: Body) -> dict[str, Any]:
        return {
            method.lower(): self._operation(method, path, operation, error if method != "HEAD" else None)
            for method, operation in operations.items()
        }

    def _operation(self, method: str, path: str, operation: Operation, error: Body | None) -> dict[str, Any]:
        statuses = sorted({*operation.errors, *errors.OF_THE_SERVER, *self.protection.statuses(method, path)})
        described = {
            "summary": operation.summary,
            **self.protection.of_operation(method, path),
            "parameters": [named("parameters", name) for name in (*operation.headers, "X-Request-Id")]
            + [{"name": name, "in": "query", "schema": schema} for name, schema in operation.query.items()],
            "responses": {str(status): _success(success) for status, success in operation.successes.items()}
            | {str(status): _error(status, error) for status in statuses},
        }
        if operation.body:
            described["requestBody"] = {"required": True, "content": operation.body.as_openapi()}
        return described


def _success(success: Success) -> dict[str, Any]:
    described = _response(success.meaning, success.headers, success.body)
    if success.leads_to:
        described["links"] = {name: _link(*name.split()) for name in success.leads_to}
    return described


def _link(method: str, path: str) -> dict[str, Any]:
    escaped = path.replace("/", "~1")
    known = {"request": "$response.body#/requestId"} if "{request}" in path else {"id": "$request.path.id"}
    return {"operationRef": f"#/paths/{escaped}/{method.lower()}", "parameters": known}


def _error(status: int, body: Body | None) -> dict[str, Any]:
    return _response(errors.MEANINGS[status], [errors.HEADERS[status]] if status in errors.HEADERS else [], body)


def _response(meaning: str, names: Iterable[str], body: Body | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": meaning,
        "headers": {name: named("headers", name) for name in (*names, "X-Request-Id")},
    }
    if body:
        described["content"] = body.as_openapi()
    return described


def _components() -> dict[str, Any]:
    return {
        "schemas": {**files.SCHEMAS, **pages.SCHEMAS, **tape.SCHEMAS},
        "parameters": {
            name: {"name": name, "in": "header", "description": meaning, "schema": schema}
            for name, (meaning, schema) in headers.REQUEST.items()
        },
        "headers": {
            name: {"description": meaning, "schema": schema} for name, (meaning, schema) in headers.ANSWER.items()
        },
    }
