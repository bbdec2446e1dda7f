"""The floors of the comparison: the same servers with next to nothing to do.

`cherrypy_application` and `wsgi_application` answer with files that they hold in memory, those in the
directory FLOOR_FILES; a PUT is read and forgotten. `lengthless_application` shows what wrk makes of answers
without Content-Length. uWSGI loads them by name; ``python -m benchmarks.floors NAME PORT`` serves one with
the launcher's server and its settings.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cherrypy

from pacifica.archiveinterface.web.settings import BUILT_IN

_FILES = {
    f"/{path.name}": path.read_bytes()
    for path in Path(os.environ.get("FLOOR_FILES", "/nonexistent")).glob("*")
    if path.is_file()
}
_BLOCK = 1 << 18  # bytes
_CHERRYPY_SETTINGS = {
    "/": {"request.dispatch": cherrypy.dispatch.MethodDispatcher(), "request.process_request_body": False}
}


class _Handler:
    """A CherryPy resource with CherryPy's defaults."""

    exposed = True

    def GET(self, file_id: str = "") -> bytes:
        cherrypy.response.headers["Content-Type"] = "application/octet-stream"
        return _FILES.get(f"/{file_id}", b"")

    def HEAD(self, file_id: str) -> bytes:
        cherrypy.response.headers["X-Content-Length"] = str(len(_FILES[f"/{file_id}"]))
        cherrypy.response.status = 204
        return b""

    def PUT(self, file_id: str) -> bytes:
        _read(cherrypy.request.wsgi_environ)
        cherrypy.response.status = 201
        return b"{}"


def _read(environ: dict[str, Any]) -> None:
    left = int(environ["CONTENT_LENGTH"])
    while left:
        left -= len(environ["wsgi.input"].read(min(left, _BLOCK)))


def wsgi_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer without any framework."""
    content = _FILES.get(environ["PATH_INFO"], b"")
    method = environ["REQUEST_METHOD"]
    if method == "PUT":
        _read(environ)
        start_response("201 Created", [("Content-Type", "application/json"), ("Content-Length", "2")])
        return [b"{}"]
    if method == "HEAD":
        start_response("204 No Content", [("X-Content-Length", str(len(content)))])
        return []
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(content)))]
    start_response("200 OK", headers)
    return [content]


def lengthless_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a GET as `wsgi_application` does, but for Content-Length: the end of the connection ends the answer."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [_FILES.get(environ["PATH_INFO"], b"")]


def cherrypy_application() -> Any:
    """Return CherryPy's own application around one handler, its log off."""
    cherrypy.config.update({"log.screen": False})
    return cherrypy.Application(_Handler(), "", _CHERRYPY_SETTINGS)


if "uwsgi" in sys.modules:
    cherrypy_wsgi = cherrypy_application()


def main() -> None:
    """Serve one of the two with the launcher's server."""
    from pacifica.archiveinterface.servers.launcher import ArchiveServer
    from pacifica.archiveinterface.servers.options import LauncherOptions

    name, port = sys.argv[1:]
    application = cherrypy_application() if name == "cherrypy" else wsgi_application
    cherrypy.config.update({key: value for key, value in BUILT_IN.items() if key.startswith(("server", "log"))})
    cherrypy.config.update({"server.socket_port": int(port)})
    server = ArchiveServer(application, LauncherOptions(), drain_seconds=1)
    try:
        server.start()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
