"""From the path of a request to what answers it, and to the settings that hold there.

CherryPy's own dispatchers look path segments up among the attributes of Python objects and merge the
configuration anew for every request. Here settings are merged once for each section of a site's file.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import cherrypy

from ..exception import MethodError, MissingPageError
from ..http.errors import TAPE_API

Settings = Mapping[str, Any]

_OWN = "/-/"
RESERVED = (_OWN, *TAPE_API)
"""Path prefixes that are not the archive's: the pages of the service, discovery, and the tape API."""

# The parts of CherryPy's configuration that concern single requests.
_OF_REQUESTS = ("error_page", "hooks", "request", "response", "tools")
# Settings that a site may not override.
_FIXED = (
    "request.dispatch",
    "request.process_request_body",
    "request.error_response",
    "request.show_tracebacks",
    "error_page.default",
    # Clients read the raw stream and hash it.
    "tools.encode.on",
    "tools.gzip.on",
)


Pages = Mapping[str, object]
"""Objects with methods named like HTTP's, by path; what stands for ``*``, one path segment, is their argument."""


class _Resource(NamedTuple):
    """The handlers of a resource by method, the value of its Allow header, and the arguments of the handlers.

    *needs_user* is whether nobody may use it without logging in, where there are users.
    """

    handlers: Mapping[str, Callable[..., Any]]
    allow: str
    arguments: tuple[str, ...] = ()
    needs_user: bool = True


class Router:
    """Gives each request its handler and its settings, as a dispatcher of CherryPy does.

    An archive has its files in one path segment; what is below a reserved prefix is never looked up in it.
    """

    def __init__(
        self, archive: object, pages: Pages | None = None, pages_port: str = "", open_pages: Collection[str] = ()
    ) -> None:
        """Route to *archive*, an object with methods named like HTTP's, and below reserved prefixes to *pages*.

        *pages_port* is a port with nothing but the service's own pages. *open_pages* are paths that need no user.
        """
        self._pages_port = pages_port
        self._archive = _resource(archive)
        self._pages = {
            _segments(path): _resource(page)._replace(needs_user=path not in open_pages)
            for path, page in (pages or {}).items()
        }
        self._settings: list[tuple[str, Settings]] = [("/", {})]

    def set_sections(self, sections: Mapping[str, Settings]) -> None:
        """Take the settings of a site, by the path below which they hold, and CherryPy's own as they are now."""
        deepest_first = sorted({"/", *sections}, key=len, reverse=True)
        self._settings = [(_below(path), _settings_at(path, sections)) for path in deepest_first]

    def settings_of(self, path: str) -> Settings:
        """Return the settings that hold at *path*."""
        directory = _below(path)
        for prefix, settings in self._settings:
            if directory.startswith(prefix):
                return settings
        return {}

    def __call__(self, path_info: str) -> bool:
        """Set handler and settings of CherryPy's request, and return whether it needs a user where there are users.

        Raises MissingPageError, MethodError.
        """
        request, response = cherrypy.serving.request, cherrypy.serving.response
        request.config = self.settings_of(path_info)
        resource = self._resource_of(path_info)
        response.headers["Allow"] = resource.allow
        handler = resource.handlers.get(request.method)
        if handler is None:
            raise MethodError(resource.allow)
        if resource.arguments:
            handler = partial(handler, *resource.arguments)
        request.handler = cherrypy.dispatch.LateParamPageHandler(handler) if request.query_string else handler
        return resource.needs_user

    def _resource_of(self, path: str) -> _Resource:
        if self._pages_port and not path.startswith(_OWN) and _port() == self._pages_port:
            raise MissingPageError("this port has the pages of the service only")
        # A file may be named "-": only what is below /-/ is reserved.
        if path.startswith(RESERVED) or path == "/api/v1":
            return self._page(_segments(path))
        return self._archive

    def _page(self, segments: tuple[str, ...]) -> _Resource:
        page = self._pages.get(segments)
        if page and "*" not in segments:
            return page
        for place, segment in enumerate(segments):
            page = self._pages.get((*segments[:place], "*", *segments[place + 1 :]))
            if page:
                return page._replace(arguments=(segment,))
        raise MissingPageError("there is no such page")


def _port() -> str:
    port: str = cherrypy.serving.request.wsgi_environ["SERVER_PORT"]
    return port


def _resource(owner: object) -> _Resource:
    handlers = {name: getattr(owner, name) for name in dir(owner) if name.isupper()}
    return _Resource(handlers, ", ".join(handlers))


def _segments(path: str) -> tuple[str, ...]:
    """Return the segments of *path*; a slash at its end makes no difference."""
    return tuple(path.strip("/").split("/"))


def _below(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def _settings_at(path: str, sections: Mapping[str, Settings]) -> Settings:
    """Return what holds at *path*: each section overrides those of the paths above it."""
    merged = dict(cherrypy.config)
    for section in sorted(sections, key=len):
        if _below(path).startswith(_below(section)):
            merged |= sections[section]
            if "tools.staticdir.dir" in sections[section]:
                merged["tools.staticdir.section"] = section
    return {key: value for key, value in merged.items() if _matters(key, value)}


def _matters(key: str, value: object) -> bool:
    if key in _FIXED or key.partition(".")[0] not in _OF_REQUESTS:
        return False
    return bool(value) or not (key.startswith("tools.") and key.endswith(".on"))  # tools are off unless switched on
