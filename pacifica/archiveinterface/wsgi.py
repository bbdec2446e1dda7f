"""The WSGI application, for the servers that docs/servers.md names: backend and prefix come from the environment."""

import atexit
import gc
import sys
from contextlib import ExitStack

from .commands.startup import choose, fail, read_settings
from .exception import ConfigurationError
from .logs.access import access_log, unqueued_access_log
from .logs.tracing import span_observers
from .metrics.definitions import share_cells
from .web.application import make_application
from .web.logs import form_log, log_to_stderr

log_to_stderr()
try:
    if "granian" in sys.modules:  # it sets wsgi.input_terminated although it cannot tell where a body ends
        raise ConfigurationError(
            "granian passes on a chunked body that broke off as if it were complete: use a server of docs/servers.md"
        )
    _choice = choose()
    form_log(_choice.config.log.format)
    share_cells(_choice.config.pages.metrics_directory)
    _site = _choice.site()
    _site.prepare()
    if "uwsgi" not in sys.modules or _site.archive.is_shared_by_forks:
        _site.require_layout()
    _config = _choice.config
    application = make_application(
        _site.archive,
        read_settings(),
        _config.http,
        _site.recalls,
        _config.tape,
        _config.pages,
        _site.limits,
        _config.auth,
        _site.audit,
    )
except ConfigurationError as error:
    sys.exit(fail("wsgi", error))

_at_work = ExitStack()
application.observers += _at_work.enter_context(span_observers())
if "uwsgi" in sys.modules:  # such a module exists inside uWSGI only
    from .servers.uwsgi.answer import UwsgiAnswer
    from .servers.uwsgi.workers import at_worker_start, end_with_master, start_recaller, stop_if_refused

    application.wsgiapp.response_class = UwsgiAnswer
    application.observers += unqueued_access_log(_config.log)  # threads may not run between requests
    if not _site.archive.is_shared_by_forks:
        at_worker_start(lambda: stop_if_refused(_site.require_layout))
    at_worker_start(_site.sweep)  # what a worker that was killed has left
    if _site.archive.has_tape:
        at_worker_start(start_recaller)
    at_worker_start(end_with_master)  # the last: uWSGI ends a process at once, whatever Python is doing
    # What is loaded stays. A worker that looked for garbage in it, in the end at the latest, would write to all the
    # pages that it shares with the others.
    gc.freeze()
else:
    application.observers += _at_work.enter_context(access_log(_config.log))
    _at_work.enter_context(_site.recalls.at_work())
atexit.register(_at_work.close)
