"""The page ``/-/openapi.json``: the interface, for programs."""

from collections.abc import Iterable
from typing import Any

from ..http.answers import json_answer
from ..openapi.document import document
from ..web.writing import write

PATH = "/-/openapi.json"


class OpenApiPage:
    """The OpenAPI document."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Describe the files and the pages at *paths*."""
        self._answer = json_answer(document(paths))

    def GET(self, **_query: Any) -> Any:
        """Answer with the document: 200."""
        return write(self._answer)

    HEAD = GET
