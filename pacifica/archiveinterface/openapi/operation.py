"""An operation, a method of a path, as the tables of this package describe it, and as OpenAPI writes it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Schema = Mapping[str, Any]
"""A JSON schema (draft 2020-12)."""

JSON = "application/json"
TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}


class Body(NamedTuple):
    """A body of requests: its media type, and its schema; None for any bytes."""

    media: str
    schema: Schema | None = None

    def as_openapi(self) -> dict[str, Any]:
        """Return the value of ``content``."""
        return {self.media: {} if self.schema is None else {"schema": self.schema}}


class Success(NamedTuple):
    """An answer that is no error: what it means, names of headers that it may have, and its body, if it has one.

    *leads_to* names operations on what was made, as ``GET /{id}``.
    """

    meaning: str
    headers: Sequence[str] = ()
    body: Body | None = None
    leads_to: Sequence[str] = ()


class Operation(NamedTuple):
    """What a method of a path does: *headers* are names in `request_headers`, *errors* statuses in `errors`.

    *query* has the schemas of its parameters by their names.
    """

    summary: str
    successes: Mapping[int, Success]
    errors: Sequence[int] = ()
    headers: Sequence[str] = ()
    query: Mapping[str, Schema] = {}
    body: Body | None = None


def named(kind: str, name: str) -> dict[str, str]:
    """Return the reference to the component *name* of a *kind*, such as ``schemas``."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Schema:
    """Return the reference to the schema *name*."""
    return named("schemas", name)


def array(of: Schema) -> Schema:
    """Return the schema of an array that has at least one element."""
    return {"type": "array", "items": of, "minItems": 1}


def struct(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object; it may have more properties than these."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
