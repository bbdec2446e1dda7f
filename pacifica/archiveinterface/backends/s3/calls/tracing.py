"""The trace that a request belongs to, told to the store (W3C Trace Context)."""

from botocore.awsrequest import AWSPreparedRequest

from ....logs.context import answered


def tell_trace(request: AWSPreparedRequest, **_: object) -> None:
    """Send the ``traceparent`` of the client with *request*; botocore's hook ``before-send``.

    The request is signed already: reverse proxies may put a span of theirs into this header on its way.
    """
    traceparent = answered.get().traceparent
    if traceparent:
        request.headers["traceparent"] = traceparent
