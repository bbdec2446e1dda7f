"""Dates in request headers: HTTP's own forms, and those that Pacifica's clients send."""

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from functools import lru_cache

from ...exception import ModTimeError

_YEAR_10000 = 253402300800  # epoch seconds; the first that an HTTP date cannot write

_EPOCH = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_ISO_8601 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_HTTP_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT")
_LONGEST_DATE = 64  # characters
_CTIME = "%a %b %d %H:%M:%S %Y"


def get_http_modified_time(headers: Mapping[str, str]) -> float:
    """Return the epoch seconds of the Last-Modified header of a PUT, or now when there is none.

    Raises ModTimeError unless it is an HTTP date, ``time.ctime()`` form, ISO 8601 (both in
    local time when without a zone, sic) or epoch seconds, from 1970 to the year 9999.
    """
    text = headers.get("Last-Modified")
    return time.time() if text is None else parse_mod_time(text)


def parse_mod_time(text: str) -> float:
    """Return the epoch seconds that *text* means; forms and errors as in get_http_modified_time."""
    try:
        mod_time = _epoch_seconds(text.strip())
    except (ValueError, OverflowError) as error:
        raise ModTimeError("Last-Modified is a date that does not exist") from error
    if not 0 <= mod_time < _YEAR_10000:
        raise ModTimeError("Last-Modified lies outside the years 1970 to 9999")
    return mod_time


def parse_http_date(text: str) -> float | None:
    """Return the epoch seconds of an HTTP date, or None when *text* is not an HTTP date (RFC 9110, 5.6.7)."""
    for form in _HTTP_DATES:
        moment = _strptime(text, form)
        if moment:
            return moment.replace(tzinfo=timezone.utc).timestamp()
    moment = _strptime(text, _CTIME)
    return moment.replace(tzinfo=timezone.utc).timestamp() if moment else None


def http_date(mtime: float) -> str:
    """Return the HTTP date of the second in which *mtime*, epoch seconds, lies."""
    return _date_of_second(int(mtime))


@lru_cache(maxsize=4096)
def _date_of_second(second: int) -> str:
    return formatdate(second, usegmt=True)


def _epoch_seconds(text: str) -> float:
    if _EPOCH.fullmatch(text):
        return float(text)
    iso = _ISO_8601.fullmatch(text)
    if iso:
        return _iso_moment(iso).timestamp()
    # ingest sends time.ctime() of its own clock, without a zone: our local time (sic).
    local = _strptime(text, _CTIME)
    if local:
        return local.timestamp()
    moment = parse_http_date(text)
    if moment is None:
        raise ModTimeError("Last-Modified is neither an HTTP date, ctime form, ISO 8601 nor epoch seconds")
    return moment


def _iso_moment(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second, fraction, zone = match.groups(default="")
    moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    moment += timedelta(seconds=float(f"0.{fraction or 0}"))
    if zone == "Z":
        return moment.replace(tzinfo=timezone.utc)
    if zone:
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        return moment.replace(tzinfo=timezone(offset if zone[0] == "+" else -offset))
    return moment


def _strptime(text: str, form: str) -> datetime | None:
    # strptime accepts digits of other scripts and any run of blanks; HTTP has neither.
    if not text.isascii() or len(text) > _LONGEST_DATE:
        return None
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
