"""The page ``/-/metrics``, for Prometheus."""

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import cherrypy

from ..exception import UnsupportedError
from ..globals import LOG_NAME
from ..http.answers import Answer
from ..metrics.definitions import CELLS
from ..web.writing import write
from .options import PagesOptions
from .readings import Readings

_HOW_TO_INSTALL = "metrics need prometheus_client: pip install 'pacifica-archiveinterface[metrics]'"
_log = logging.getLogger(LOG_NAME)


class MetricsPage:
    """What was counted, and what is looked up now."""

    def __init__(self, readings: Readings) -> None:
        """Tell the *readings*, too."""
        self._readings = readings
        self._exposed = _exposed()
        if self._exposed is None:
            _log.info("%s", _HOW_TO_INSTALL)

    def GET(self, **_query: Any) -> Any:
        """Answer with all metrics: 200."""
        request = cherrypy.serving.request
        if self._exposed is None:
            raise UnsupportedError(_HOW_TO_INSTALL)
        if request.wsgi_environ["wsgi.multiprocess"] and not CELLS.is_shared:
            raise UnsupportedError(
                "each process of this server counts for itself: name a directory in [pages] metrics_directory"
            )
        body, content_type = self._exposed(request.headers.get("Accept", ""), self._readings.look_up())
        return write(Answer("200 OK", {"Content-Type": content_type, "Cache-Control": "no-store"}, body))

    HEAD = GET


def counts_can_be_read(options: PagesOptions) -> bool:
    """Return whether this process, or another one by ``metrics_directory``, can tell what this one counts."""
    return bool(options.metrics_directory) or find_spec("prometheus_client") is not None


def _exposed() -> Any:
    try:
        return import_module(".exposition", __package__).exposed
    except ImportError:  # prometheus_client is not installed
        return None
