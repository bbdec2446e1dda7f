"""The CherryPy application that serves an archive."""

from collections.abc import Mapping
from typing import Any

import cherrypy

from ..audit.log import AuditLog
from ..auth.authenticator import Authenticator, make_authenticator
from ..auth.options import AuthOptions
from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import ConfigurationError
from ..http.options import HttpOptions
from ..http.sendfile import require_senders
from ..limits.gate import Gate
from ..limits.service import LimitService
from ..openapi.security import OPEN_PATHS, Protection
from ..pages.access import Access, guarded
from ..pages.health import Checks, health_pages
from ..pages.metrics import MetricsPage, counts_can_be_read
from ..pages.openapi import PATH, OpenApiPage
from ..pages.options import USERS, PagesOptions
from ..pages.readings import Readings
from ..pages.recalls import recall_pages
from ..recalls.service import RecallService
from ..rest_generator import ArchiveInterfaceGenerator
from ..tape.options import TapeOptions
from ..tape.resources import tape_pages
from .counting import count_arrival
from .exchange import Observer
from .logs import CherryPyLog
from .request import ArchiveRequest
from .response import ArchiveAnswer, ArchiveResponse
from .routes import Router
from .settings import BUILT_IN, Settings

# What CherryPy publishes on its bus around each request.
_EVENTS = ("before_request", "after_request", "start_thread", "stop_thread")


def make_application(
    archive: AbstractBackendArchive,
    settings: Settings | None = None,
    options: HttpOptions | None = None,
    recalls: RecallService | None = None,
    tape: TapeOptions | None = None,
    pages: PagesOptions | None = None,
    limits: LimitService | None = None,
    auth: AuthOptions | None = None,
    audit: AuditLog | None = None,
) -> cherrypy.Application:
    """Return the WSGI application that serves *archive*.

    *settings* are CherryPy's, *options* those of [http], *tape* those of [tape], *pages* those of [pages], *auth* those
    of [auth]. Without *recalls*, each request has its file recalled alone, and there are no pages of recalls and no
    tape API. *limits* are those of principals. In *audit*, changes are written before they are answered.

    CherryPy's configuration is one for the process: the last application made has set it.
    Raises ConfigurationError for an option that this archive cannot keep.
    """
    options, pages = options or HttpOptions(), pages or PagesOptions()
    authenticator = _authenticator(auth or AuthOptions(), pages)
    require_senders(archive, options.sendfile)
    settings = settings or {}
    overall = {**BUILT_IN, **settings.get("global", {})}
    most_bytes = overall.pop("server.max_request_body_size")
    resource = ArchiveInterfaceGenerator(archive, options, recalls, limits)
    # The rest of the threads serve files, whatever the site has set.
    listeners = min(options.event_listeners, int(overall["server.thread_pool"]) // 2)
    checks = Checks(archive, recalls, limits, audit, options.drain_file)
    served = _own_pages(archive, recalls, checks, pages, listeners)
    if recalls:
        served |= tape_pages(archive, recalls, tape or TapeOptions())
    open_pages, schemes = _open_pages(pages), authenticator.schemes if authenticator else ()
    protection = Protection(authenticator is not None, schemes, open_pages, limits is not None)
    served[PATH] = OpenApiPage([*served, PATH], protection)
    router = Router(resource, served, str(pages.address[1]) if pages.address else "", open_pages)
    application = ArchiveApplication(resource, options, most_bytes, router, authenticator, audit)
    application.gate = limits.gate if limits else None
    application.is_counted = counts_can_be_read(pages)
    _configure(application, overall, settings)
    return application


def _authenticator(options: AuthOptions, pages: PagesOptions) -> Authenticator | None:
    """Return what tells the users, None without users. Raises ConfigurationError."""
    authenticator = make_authenticator(options)
    if USERS in (pages.metrics, pages.recalls) and authenticator is None:
        raise ConfigurationError("[pages] metrics and recalls: the value 'users' needs [auth] enabled = true")
    return authenticator


def _configure(application: cherrypy.Application, overall: Mapping[str, object], settings: Settings) -> None:
    """Give the settings that are *overall*, and of those of the site its sections. Raises ConfigurationError."""
    try:
        # Our reader of bodies keeps to the limit and answers in JSON; the server would in plain text.
        cherrypy.config.update({**overall, "server.max_request_body_size": 0})
        application.merge({section: dict(keys) for section, keys in settings.items() if section != "global"})
    except OSError as error:  # log.access_file and log.error_file are opened here
        raise ConfigurationError(f"{error.filename} cannot be written: {(error.strerror or '').lower()}") from error


def _own_pages(
    archive: AbstractBackendArchive,
    recalls: RecallService | None,
    checks: Checks,
    options: PagesOptions,
    most_listeners: int,
) -> dict[str, object]:
    """Return the pages below ``/-/`` by their paths, for those who may read them. Raises ConfigurationError."""
    metrics = MetricsPage(Readings(archive, recalls, checks))
    queues = recall_pages(recalls, most_listeners) if recalls else {}
    for_recalls = Access(options.recalls, options)
    return {
        **health_pages(archive, checks),
        "/-/metrics": guarded(metrics, Access(options.metrics, options)),
        **{path: guarded(page, for_recalls) for path, page in queues.items()},
    }


def _open_pages(options: PagesOptions) -> set[str]:
    """Return the paths that need no user: what probes and clients ask first, and what has rules of its own."""
    rules = {"/-/metrics": options.metrics, "/-/recalls": options.recalls, "/-/recalls/events": options.recalls}
    return {*OPEN_PATHS, *(path for path, rule in rules.items() if rule != USERS)}


class ArchiveApplication(cherrypy.Application):
    """A CherryPy application that finds its resources and settings by a Router."""

    def __init__(
        self,
        resource: ArchiveInterfaceGenerator,
        options: HttpOptions,
        most_bytes: int,
        router: Router,
        authenticator: Authenticator | None,
        audit: AuditLog | None,
    ) -> None:
        """Serve *resource* and what *router* finds, to those whom *authenticator* knows, or to everybody without one.

        Changes are written to *audit* before they are answered. A body may have *most_bytes*, any number if 0.
        """
        super().__init__(resource, "")
        self.options = options
        self.most_bytes = most_bytes
        self.router = router
        self.authenticator = authenticator
        self.audit = audit
        self.gate: Gate | None = None
        """What lets requests pass."""
        self.request_class = ArchiveRequest
        self.response_class = ArchiveResponse
        self.wsgiapp.response_class = ArchiveAnswer
        # CherryPy's trap would append an error page to a file that breaks off.
        self.wsgiapp.pipeline = []
        self.log: CherryPyLog = CherryPyLog(id(self))
        self.observers: list[Observer] = []
        """Each gets every Exchange."""
        self.is_counted = False
        """Whether each request is counted."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer the request in *environ*, as WSGI has it."""
        if self.is_counted:
            count_arrival()
        return super().__call__(environ, start_response)

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
