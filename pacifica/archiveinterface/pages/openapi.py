"""The page ``/-/openapi.json``: the interface, for programs."""

from collections.abc import Iterable
from typing import Any

from ..http.answers import json_answer
from ..openapi.document import document
from ..openapi.security import Protection
from ..web.writing import write

PATH = "/-/openapi.json"


class OpenApiPage:
    """The OpenAPI document."""

    def __init__(self, paths: Iterable[str], protection: Protection | None = None) -> None:
        """Describe the files and the pages at *paths*, and their *protection*."""
        self._answer = json_answer(document(paths, protection))

    def GET(self, **_query: Any) -> Any:
        """Answer with the document: 200."""
        return write(self._answer)

    HEAD = GET
