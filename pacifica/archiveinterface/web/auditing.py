"""What the audit log is told of requests, before they are answered; nothing if there is none."""

from collections.abc import Mapping, Sequence
from typing import Any

import cherrypy
from cherrypy._cprequest import Request, Response

from ..audit.deeds import READ, Deed, Who, event_of
from ..audit.log import AuditLog
from ..audit.options import READS
from ..http.changes import Author, Change, log_change
from ..http.headers.request_head import target_of

_OWN_PAGES = "/-/"


def begin(action: str, file_id: str, facts: Mapping[str, str] | None = None) -> None:
    """Write that the request is about to do *action* to a file.

    Raises NoSpaceError, BackendUnavailableError when it must not.
    """
    deed = _deed()
    if deed:
        deed.begin(action, id=file_id, **(facts or {}))


def begin_for_files(action: str, ids: Sequence[str], request: str = "") -> None:
    """Write that *action* is about to be done to many files, for a *request* of the tape API. Raises as `begin`."""
    deed = _deed()
    if deed:
        deed.begin(action, ids, files=len(ids), request=request)


def note(**facts: Any) -> None:
    """Have *facts* in the line of the outcome."""
    deed = _deed()
    if deed:
        deed.note(**facts)


def tell(change: Change) -> None:
    """Log the *change* that was made, and have it in the audit log."""
    request = cherrypy.serving.request
    log_change(change, Author(request.remote.ip, request.login or ""))
    note(change=change.name, bytes=change.size, **change.facts)


def record(request: Request, response: Response) -> None:
    """Write the outcome of *request*, whose answer is ready. Raises NoSpaceError, BackendUnavailableError."""
    log: AuditLog = request.app.audit
    status = int(response.output_status[:3])
    deed: Deed | None = request.deed
    has_begun = deed is not None and deed.has_begun
    event = event_of(status, is_change=has_begun)
    if not has_begun and not _is_wanted(event, request, log):
        return
    facts = {"status": status, "reason": request.refusal}
    if event == READ:
        facts["bytes"] = int(response.headers.get("Content-Length") or 0)
    _deed_of(request, log).end(event, **facts)


def _is_wanted(event: str, request: Request, log: AuditLog) -> bool:
    if event != READ:
        return event in log.options.events
    is_of_files = request.method != "OPTIONS" and not request.path_info.startswith(_OWN_PAGES)
    return is_of_files and READS in log.options.events


def _deed() -> Deed | None:
    request = cherrypy.serving.request
    log = getattr(request.app, "audit", None)  # other applications than ours have none
    return _deed_of(request, log) if log else None


def _deed_of(request: Request, log: AuditLog) -> Deed:
    if request.deed is None:
        request.deed = Deed(log, _who(request), request.method, request_id=str(request.unique_id), path=_path(request))
    deed: Deed = request.deed
    return deed


def _who(request: Request) -> Who:
    principal = getattr(request, "principal", None)
    if principal is None:
        return Who(request.login or "", client=request.remote.ip)
    return Who(principal.name, principal.how, principal.issuer, request.remote.ip)


def _path(request: Request) -> str:
    """Return the path of the URL, as the client wrote it; not what follows it, which may have a token in it."""
    return target_of(request.wsgi_environ).partition("?")[0]
