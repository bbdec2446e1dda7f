"""The page ``/-/openapi.json``: the interface, for programs."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from ..http.answers import Answer, json_answer
from ..openapi.document import document
from ..openapi.security import Protection
from ..web.writing import write

PATH = "/-/openapi.json"


class OpenApiPage:
    """The OpenAPI document."""

    def __init__(self, paths: Iterable[str], protection: Protection | None = None) -> None:
        """Describe the files and the pages at *paths*, and their *protection*."""
        self._paths, self._protection = tuple(paths), protection

    @cached_property
    def _answer(self) -> Answer:
        # Made when it is first asked for: it would take longer than all else that an application is made of.
        return json_answer(document(self._paths, self._protection))

    def GET(self, **_query: Any) -> Any:
        """Answer with the document: 200."""
        return write(self._answer)

    HEAD = GET
