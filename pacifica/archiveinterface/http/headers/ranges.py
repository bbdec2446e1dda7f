"""Which bytes of a file a client wants: HTTP's Range header and the older ``byte_range`` query.

CherryPy's own parser is not used: it fails on text where digits belong, takes other units for
bytes, and answers ``bytes=-0`` with a range.
"""

import re
from typing import NamedTuple

from ...exception import ByteRangeError, RangeNotSatisfiableError

# A header may name the same bytes over and over; past this the whole file is cheaper for all.
MOST_RANGES = 64


class Segment(NamedTuple):
    """*length* bytes from *offset* on."""

    offset: int
    length: int


_QUERY = re.compile(r"(\d{1,19})-(\d{1,19})", re.ASCII)
_RANGE_SET = re.compile(r"bytes=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII)


def parse_byte_range(text: str) -> Segment:
    """Return the bytes that the query ``?byte_range=first-end`` means, *end* exclusive (sic).

    Raises ByteRangeError unless 0 <= first <= end. HTTP's own Range header counts *end* in.
    """
    match = _QUERY.fullmatch(text)
    first, end = (int(number) for number in match.groups()) if match else (1, 0)
    if first > end:
        raise ByteRangeError("byte_range is first-end, two byte offsets, the second one exclusive")
    return Segment(first, end - first)


def wanted_by_query(byte_range: object) -> Segment | None:
    """Return what parse_byte_range says of the parameter *byte_range* of a URL, None when it is not there."""
    if byte_range is None:
        return None
    if not isinstance(byte_range, str):  # the list of a parameter that was given twice
        raise ByteRangeError("byte_range is given once")
    return parse_byte_range(byte_range)


def clip(segment: Segment, filesize: int) -> Segment:
    """Return what of *segment* lies within *filesize* bytes.

    Raises RangeNotSatisfiableError when it asks for bytes and none of them is there.
    """
    if segment.offset > filesize or (segment.offset == filesize and segment.length):
        raise RangeNotSatisfiableError(filesize)
    return Segment(segment.offset, min(segment.length, filesize - segment.offset))


def parse_range_header(text: str, filesize: int) -> list[Segment] | None:
    """Return the segments that a Range header asks for, in its order (RFC 9110, 14.2).

    None when the header is to be ignored: another unit, malformed, or more than it makes sense
    to send apart. Raises RangeNotSatisfiableError when it is well-formed and nothing lies within.
    """
    ranges = _RANGE_SET.fullmatch(text)
    if not ranges:
        return None
    wanted = []
    for part in ranges[1].split(","):
        if part.strip(" \t"):  # a list may have empty members (RFC 9110, 5.6.1)
            match = _RANGE.fullmatch(part)
            if not match or _malformed(match[1], match[2]):
                return None
            wanted.append(_segment(match[1], match[2], filesize))
    segments = [segment for segment in wanted if segment.length > 0]
    if wanted and not segments:
        raise RangeNotSatisfiableError(filesize)
    if not segments or len(segments) > MOST_RANGES or sum(part.length for part in segments) > filesize:
        return None
    return segments


def _malformed(first: str, last: str) -> bool:
    if len(first) > 19 or len(last) > 19:  # no file is that long; int() would read megabytes of digits
        return True
    return int(last) < int(first) if first and last else not (first or last)


def _segment(first: str, last: str, filesize: int) -> Segment:
    if not first:
        length = min(int(last), filesize)
        return Segment(filesize - length, length)
    offset = int(first)
    end = min(int(last) + 1, filesize) if last else filesize
    return Segment(offset, end - offset)
