"""The WSGI application, for uWSGI and its like: backend and prefix come from the environment."""

import sys

from .application import log_to_stderr
from .exception import ConfigurationError
from .launch import application_from_environment, fail

log_to_stderr()
try:
    application = application_from_environment()
except ConfigurationError as error:
    sys.exit(fail("wsgi", error))

if "uwsgi" in sys.modules:
    from .uwsgi_request import UwsgiRequest

    application.request_class = UwsgiRequest
