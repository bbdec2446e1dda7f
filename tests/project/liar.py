"""A service that does one thing wrong: ``python -m tests.project.liar FAULT PORT``; its files are in ``files``.

It keeps what is put and answers like the service otherwise, so that a load generator has to look to find out.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Liar(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fault = "none"

    def do_PUT(self) -> None:
        """Store a file, or say so."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.fault == "damaged when put":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if self.fault != "forgotten":
            self._path().write_bytes(content)
        self._answer(201, b"{}")

    def do_GET(self) -> None:
        """Answer with a file or a range of it."""
        content = self._path().read_bytes() if self.path != "/" else b""
        if self.fault == "damaged" and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if self.fault == "half":
            content = content[: len(content) // 2]
        if "Range" in self.headers:
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            aside = self.fault == "offset"
            self._answer(206, content[int(first) + aside : int(last) + 1 + aside])
        else:
            self._answer(203 if self.fault == "another status" else 200, content)

    def do_HEAD(self) -> None:
        """Announce a file's length."""
        size = self._path().stat().st_size + (self.fault == "length")
        self.send_response(204)
        self.send_header("X-Content-Length", str(size))
        self.end_headers()

    def _path(self) -> Path:
        return Path("files", self.path.strip("/"))

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    _Liar.fault = sys.argv[1]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Liar).serve_forever()
