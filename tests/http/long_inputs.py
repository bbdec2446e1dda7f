"""Every parser of what a client sends, fed long and hostile text; a parser that is worse than linear needs hours.

Run by parsers_test in a process of its own, under a limit of processor time.
"""

from contextlib import suppress

from pacifica.archiveinterface.backends.abstract.precondition import Precondition
from pacifica.archiveinterface.backends.posix.status import PosixStatus
from pacifica.archiveinterface.digests import SUPPORTED
from pacifica.archiveinterface.exception import ArchiveInterfaceError
from pacifica.archiveinterface.http.headers import digest_fields, request_head
from pacifica.archiveinterface.http.headers.conditions import Conditions
from pacifica.archiveinterface.http.headers.dates import parse_http_date, parse_mod_time
from pacifica.archiveinterface.http.headers.ranges import parse_byte_range, parse_range_header
from pacifica.archiveinterface.id2filename import parse_file_id

LENGTH = 1 << 16  # characters; as long as a head may be
UNITS = [*' \t,";:=*-0a', "W/", "=:", " ,", 'x"', "0-,", '"",', "a=1,", "q=0.", "a=:,"]
STARTS = ["", "x", '"', "bytes=", "sha-256=:", "Mon, "]
ENDS = ["", "x"]
STORED = dict.fromkeys(SUPPORTED, b"")


def parse(text: str) -> None:
    """Give *text* to each of the parsers."""
    line = text.encode()
    status = PosixStatus(0, 0, (1,), 1)
    conditions = Conditions(dict.fromkeys(("If-Match", "If-Unmodified-Since", "If-Modified-Since", "If-Range"), text))
    for step in (
        lambda: (conditions.of_writing or Precondition()).check(status),
        lambda: conditions.not_modified(status),
        lambda: conditions.allow_range(status),
        lambda: Conditions({"If-None-Match": text}).not_modified(status),
        lambda: parse_range_header(text, 1 << 40),
        lambda: parse_byte_range(text),
        lambda: parse_http_date(text),
        lambda: parse_mod_time(text),
        lambda: parse_file_id(text),
        lambda: digest_fields.announced_digests({"Content-Digest": text}),
        lambda: digest_fields.announced_digests({"Digest": text}),
        lambda: digest_fields.announced_digests({"Content-MD5": text}),
        lambda: digest_fields.repr_digest(STORED, text),
        lambda: digest_fields.digest(STORED, text),
        lambda: request_head.request_id(text),
        lambda: request_head.body_length(text, None, "HTTP/1.1"),
        lambda: request_head.body_length(None, text, "HTTP/1.1"),
        lambda: request_head.parse_request_line(line),
        lambda: request_head.parse_request_line(b"GET /" + line),
        lambda: request_head.parse_headers([line + b"\r\n", b"X: " + line + b"\r\n"]),
    ):
        with suppress(ArchiveInterfaceError):
            step()


if __name__ == "__main__":
    for unit in UNITS:
        for start in STARTS:
            for end in ENDS:
                parse(start + unit * (LENGTH // len(unit)) + end)
