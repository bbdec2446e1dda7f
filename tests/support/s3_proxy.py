"""A proxy between the service and an S3 store that spoils chosen calls.

Clients name it as their endpoint. It passes the header fields on as they came, Host included, so that signatures hold,
and counts the calls by the names that the API of S3 gives them; those of our notes objects are `PutNotes` and so on.
"""

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

HOST = "127.0.0.1"
ALWAYS = 1 << 30  # times
_BLOCK_SIZE = 1 << 16  # bytes
_NOTES = "/.notes/"
_NAMES = {
    "HEAD": {"": "HeadObject"},
    "GET": {"uploads": "ListMultipartUploads", "uploadId": "ListParts", "list-type": "ListObjects", "": "GetObject"},
    "PUT": {"partNumber": "UploadPart", "": "PutObject"},
    "POST": {"uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload", "restore": "RestoreObject"},
    "DELETE": {"uploadId": "AbortMultipartUpload", "": "DeleteObject"},
}


class Answer(NamedTuple):
    """What the store, or a fault in its place, answers; *length* is what it announces."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int

    def with_headers(self, **changes: str) -> "Answer":
        """Return it with other header fields; their names have ``_`` for ``-``."""
        named = {name.replace("_", "-"): it for name, it in changes.items()}
        kept = {name: it for name, it in self.headers.items() if name.lower() not in map(str.lower, named)}
        return self._replace(headers={**kept, **named})

    def without(self, name: str) -> "Answer":
        """Return it without the header field *name*."""
        return self._replace(headers={each: it for each, it in self.headers.items() if each.lower() != name.lower()})


class Call:
    """One call of a client, of which the head was read."""

    def __init__(self, handler: "_Handler") -> None:
        self._handler = handler
        self.name = name_of(handler.command, handler.path, "x-amz-copy-source" in handler.headers)
        self.headers = dict(handler.headers.items())
        self.length = int(self.headers.get("Content-Length", "0"))

    def body(self, most: int = ALWAYS) -> Iterator[bytes]:
        """Yield what the client sends, *most* bytes at most, as it comes."""
        left = min(self.length, most)
        while left and (block := self._handler.rfile.read1(min(left, _BLOCK_SIZE))):
            left -= len(block)
            yield block

    def drain(self) -> None:
        """Receive the whole body and forget it."""
        for _ in self.body():
            pass

    def forward(self) -> Answer:
        """Send the call to the store, and return what it answers."""
        return self._handler.forward(self)

    def send(self, answer: Answer) -> None:
        """Answer the client, or begin to."""
        self._handler.answer(answer)

    def wait_for_the_end(self) -> None:
        """Return when the client closes the connection, or the proxy ends."""
        with suppress(OSError):
            while self._handler.connection.recv(_BLOCK_SIZE):
                pass


Fault = Callable[[Call], Answer]
"""Answers a call in the place of the store; raises ConnectionAbortedError to close the connection."""


def name_of(method: str, target: str, is_copy: bool = False) -> str:
    """Return what the API of S3 calls the request."""
    place = urlsplit(target)
    asked = parse_qs(place.query, keep_blank_values=True)
    is_bucket = not place.path.strip("/").count("/")
    name = next(name for part, name in _NAMES[method].items() if part in asked or not part)
    if is_bucket and method in ("PUT", "HEAD", "DELETE"):
        return name.replace("PutObject", "CreateBucket").replace("Object", "Bucket")
    if is_copy:
        return name.replace("PutObject", "CopyObject").replace("UploadPart", "UploadPartCopy")
    return name.replace("Object", "Notes") if _NOTES in place.path else name


class S3Proxy:
    """A proxy in front of the store at *upstream*; *endpoint* is its URL."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.calls: Counter[str] = Counter()
        self.most_held = 0  # bytes of parts that were on their way at one time
        self._held = 0
        self._faults: dict[str, list[tuple[range, Fault]]] = {}
        self._chance: Callable[[], Fault] = lambda: Call.forward
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = _Server(self)
        self.endpoint = f"http://{HOST}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def spoil(self, name: str, fault: Fault, number: int = 1, times: int = 1) -> None:
        """Spoil the call *name* that comes as the *number*-th from now, counted from 1, and *times* - 1 after it."""
        begin = self.calls[name] + number
        self._faults.setdefault(name, []).append((range(begin, begin + times), fault))

    def spoil_by_chance(self, chance: Callable[[], Fault]) -> None:
        """Do with each call what *chance* returns for it."""
        self._chance = chance

    def heal(self) -> None:
        """Spoil nothing from now on, and forget what was counted."""
        with self._lock:
            self._faults.clear()
            self._chance = lambda: Call.forward
            self.calls.clear()

    def fault_for(self, name: str) -> Fault:
        """Count the call *name*, and return what is done with it."""
        with self._lock:
            self.calls[name] += 1
            spoiled = (fault for numbers, fault in self._faults.get(name, ()) if self.calls[name] in numbers)
            return next(spoiled, None) or self._chance()

    def hold(self, count: int) -> None:
        """Note that *count* bytes of a part more, or less, are on their way."""
        with self._lock:
            self._held += count
            self.most_held = max(self.most_held, self._held)

    def connected(self, connection: socket.socket) -> None:
        """Note a connection of a client."""
        with self._lock:
            self._open.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        """Forget a connection of a client."""
        with self._lock:
            self._open.discard(connection)

    def stop(self) -> None:
        """End it, and all connections."""
        self._server.shutdown()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: S3Proxy) -> None:
        super().__init__((HOST, 0), _Handler)
        self.proxy = proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are what the proxy is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.proxy.connected(self.connection)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._store = http.client.HTTPConnection(self.server.proxy.upstream, timeout=60)

    def finish(self) -> None:
        self.server.proxy.disconnected(self.connection)
        self._store.close()
        with suppress(OSError):
            super().finish()

    def handle_expect_100(self) -> bool:
        """Let the client send its body at once: boto3 waits a second for this."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _handle(self) -> None:
        call = Call(self)
        proxy = self.server.proxy
        held = call.length if call.name == "UploadPart" else 0
        proxy.hold(held)
        try:
            answer = proxy.fault_for(call.name)(call)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        finally:
            proxy.hold(-held)
        self.answer(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

    def forward(self, call: Call) -> Answer:
        """Send *call* to the store, and return its answer."""
        store = self._store
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in call.headers.items():
            if name.lower() not in ("expect", "connection"):
                store.putheader(name, value)
        store.endheaders()
        for block in call.body():
            store.send(block)
        found = store.getresponse()
        body = found.read()
        headers = {name: it for name, it in found.getheaders() if name.lower() not in _HOP}
        announced = found.headers.get("Content-Length")
        return Answer(found.status, headers, body, len(body) if announced is None else int(announced))

    def answer(self, answer: Answer) -> None:
        """Send *answer* to the client."""
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(answer.length))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()
        if self.command != "HEAD" and len(answer.body) < answer.length:
            self.close_connection = True


_HOP = ("content-length", "transfer-encoding", "connection", "keep-alive")
