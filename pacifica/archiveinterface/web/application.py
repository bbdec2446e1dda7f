"""The CherryPy application that serves an archive."""

from typing import Any

import cherrypy

from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import ConfigurationError
from ..http.options import HttpOptions
from ..http.sendfile import require_senders
from ..pages.health import health_pages
from ..pages.openapi import PATH, OpenApiPage
from ..pages.recalls import recall_pages
from ..recalls.service import RecallService
from ..rest_generator import ArchiveInterfaceGenerator
from ..tape.options import TapeOptions
from ..tape.resources import tape_pages
from .exchange import Observer
from .logs import CherryPyLog
from .request import ArchiveRequest
from .response import ArchiveAnswer, ArchiveResponse
from .routes import Pages, Router
from .settings import BUILT_IN, Settings

# What CherryPy publishes on its bus around each request.
_EVENTS = ("before_request", "after_request", "start_thread", "stop_thread")


def make_application(
    archive: AbstractBackendArchive,
    settings: Settings | None = None,
    options: HttpOptions | None = None,
    recalls: RecallService | None = None,
    tape: TapeOptions | None = None,
) -> cherrypy.Application:
    """Return the WSGI application that serves *archive*.

    *settings* are CherryPy's, *options* those of [http], *tape* those of [tape]. Without *recalls*, each request has
    its file recalled alone, and there are no pages of recalls and no tape API.

    CherryPy's configuration is one for the process: the last application made has set it.
    Raises ConfigurationError for an option that this archive cannot keep.
    """
    options = options or HttpOptions()
    require_senders(archive, options.sendfile)
    settings = settings or {}
    overall = {**BUILT_IN, **settings.get("global", {})}
    most_bytes = overall.pop("server.max_request_body_size")
    resource = ArchiveInterfaceGenerator(archive, options, recalls)
    # The rest of the threads serve files, whatever the site has set.
    listeners = min(options.event_listeners, int(overall["server.thread_pool"]) // 2)
    pages = health_pages(archive, recalls, options.drain_file)
    if recalls:
        pages = {**pages, **recall_pages(recalls, listeners), **tape_pages(archive, recalls, tape or TapeOptions())}
    pages = {**pages, PATH: OpenApiPage([*pages, PATH])}
    application = ArchiveApplication(resource, options, most_bytes, pages)
    try:
        # Our reader of bodies keeps to the limit and answers in JSON; the server would in plain text.
        cherrypy.config.update({**overall, "server.max_request_body_size": 0})
        application.merge({section: dict(keys) for section, keys in settings.items() if section != "global"})
    except OSError as error:  # log.access_file and log.error_file are opened here
        raise ConfigurationError(f"{error.filename} cannot be written: {(error.strerror or '').lower()}") from error
    return application


class ArchiveApplication(cherrypy.Application):
    """A CherryPy application that finds its resources and settings by a Router."""

    def __init__(
        self, resource: ArchiveInterfaceGenerator, options: HttpOptions, most_bytes: int, pages: Pages | None = None
    ) -> None:
        """Serve *resource* and *pages*; a body may have *most_bytes*, any number if 0."""
        super().__init__(resource, "")
        self.options = options
        self.most_bytes = most_bytes
        self.router = Router(resource, pages)
        self.request_class = ArchiveRequest
        self.response_class = ArchiveResponse
        self.wsgiapp.response_class = ArchiveAnswer
        # CherryPy's trap would append an error page to a file that breaks off.
        self.wsgiapp.pipeline = []
        self.log: CherryPyLog = CherryPyLog(id(self))
        self.observers: list[Observer] = []
        """Each gets every Exchange."""

    def merge(self, config: Settings) -> None:
        """Take a site's settings, and CherryPy's own as they are now."""
        super().merge(config)
        self.router.set_sections(self.config)

    def get_serving(self, local: Any, remote: Any, scheme: str, server_protocol: str) -> tuple[Any, Any]:
        """Return a request and its response; events are published only to those who listen."""
        if _have_listeners():
            served: tuple[Any, Any] = super().get_serving(local, remote, scheme, server_protocol)
            return served
        request, response = self.request_class(local, remote, scheme, server_protocol), self.response_class()
        request.app = self
        cherrypy.serving.load(request, response)
        return request, response

    def release_serving(self) -> None:
        """Let go of what get_serving returned."""
        if _have_listeners():
            super().release_serving()
            return
        try:
            cherrypy.serving.request.close()
        finally:
            cherrypy.serving.clear()


def _have_listeners() -> bool:
    return any(map(cherrypy.engine.listeners.get, _EVENTS))
