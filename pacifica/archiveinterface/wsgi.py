"""The WSGI application, for uWSGI and its like: backend and prefix come from the environment."""

import sys
from collections.abc import Callable
from typing import Any

from .application import log_to_stderr
from .exception import ConfigurationError
from .launch import application_from_environment, fail


class _ClosingConnections:
    """Says that the server will close the connection, as uWSGI's http-socket does after each answer.

    A client that is not told sends its next request into a closed connection.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], *error)

        return self._application(environ, start)


log_to_stderr()
try:
    application = application_from_environment()
except ConfigurationError as error:
    sys.exit(fail("wsgi", error))

if "uwsgi" in sys.modules:
    application.wsgiapp.pipeline = [("closing", _ClosingConnections)]
