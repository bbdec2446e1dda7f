"""What a proxy does with a call to an S3 store in the place of passing it on."""

from collections.abc import Callable
from email.utils import formatdate

from tests.support.s3_proxy import Answer, Call, Fault


def cut_request(after: int = 0) -> Fault:
    """Close the connection after *after* bytes of the body of a request."""

    def fault(call: Call) -> Answer:
        for _ in call.body(after):
            pass
        raise ConnectionAbortedError

    return fault


def cut_answer(after: int) -> Fault:
    """Let the store answer, and close the connection after *after* bytes of the body of its answer."""

    def fault(call: Call) -> Answer:
        answer = call.forward()
        return answer._replace(body=answer.body[:after])

    return fault


def stall_answer(after: int) -> Fault:
    """Let the store answer, and say nothing more after *after* bytes of the body of its answer."""

    def fault(call: Call) -> Answer:
        answer = call.forward()
        call.send(answer._replace(body=answer.body[:after]))
        call.wait_for_the_end()
        raise ConnectionAbortedError

    return fault


def lose_answer(call: Call) -> Answer:
    """Let the store do its work, and close the connection without the answer."""
    call.forward()
    raise ConnectionAbortedError


def refuse(status: int, code: str) -> Fault:
    """Answer with an error; the store learns nothing of the call."""
    return rewrite(status, _error(code))


def refuse_afterwards(status: int, code: str) -> Fault:
    """Let the store do its work, and answer with an error."""

    def fault(call: Call) -> Answer:
        call.forward()
        return _answer(status, _error(code))

    return fault


def hang(call: Call) -> Answer:
    """Say nothing until the client gives up; the store learns nothing of the call."""
    call.drain()
    call.wait_for_the_end()
    raise ConnectionAbortedError


def hang_afterwards(call: Call) -> Answer:
    """Let the store do its work, and say nothing until the client gives up."""
    call.forward()
    call.wait_for_the_end()
    raise ConnectionAbortedError


def answer_with(**headers: str) -> Fault:
    """Let the store do its work, and change *headers* of its answer."""
    return lambda call: call.forward().with_headers(**headers)


def answer_body(change: Callable[[bytes], bytes]) -> Fault:
    """Let the store do its work, and *change* the body of its answer, whose length is announced anew."""

    def fault(call: Call) -> Answer:
        answer = call.forward()
        body = change(answer.body)
        return answer._replace(body=body, length=len(body))

    return fault


def shift_clock(call: Call) -> Answer:
    """Let the store take the call for one of the year 2020."""
    call.headers["X-Amz-Date"] = "20200101T000000Z"
    return call.forward()


def first(deed: Callable[[], object], then: Fault = Call.forward) -> Fault:
    """Do *deed* when the call comes, and *then* go on."""

    def fault(call: Call) -> Answer:
        deed()
        return then(call)

    return fault


def rewrite(status: int, body: bytes) -> Fault:
    """Answer with *status* and *body*; the store learns nothing of the call."""

    def fault(call: Call) -> Answer:
        call.drain()
        return _answer(status, body)

    return fault


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def _answer(status: int, body: bytes) -> Answer:
    return Answer(status, {"Content-Type": "application/xml", "Date": formatdate(usegmt=True)}, body, len(body))
