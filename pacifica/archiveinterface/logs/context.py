"""The request that is being answered, for what is logged meanwhile."""

from contextvars import ContextVar
from typing import NamedTuple


class Known(NamedTuple):
    """How a request is known: its id, and the valid ``traceparent`` that it came with; both may be empty."""

    request_id: str = ""
    traceparent: str = ""


NO_REQUEST = Known()

answered: ContextVar[Known] = ContextVar("answered", default=NO_REQUEST)
"""The request that this thread, or the one that has started it in a copy of its context, is answering."""
