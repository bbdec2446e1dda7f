"""Small things that the REST layer and the admin tool share."""

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

from .backends.abstract.status import AbstractStatus
from .exception import ModTimeError

NOT_FOUND = "File Not Found"
_YEAR_10000 = 253402300800  # epoch seconds; the first that an HTTP date cannot write

_EPOCH = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_ISO_8601 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_HTTP_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT")
_LONGEST_DATE = 64  # characters
_CTIME = "%a %b %d %H:%M:%S %Y"


def bytes_type(text: str | bytes) -> bytes:
    """Return *text* as bytes, encoded as UTF-8 when it is a string."""
    return text.encode() if isinstance(text, str) else text


def un_abs_path(path: str) -> str:
    """Return *path* without its leading slashes: ``//12345`` -> ``12345``."""
    return path.lstrip("/")


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
    """Return the epoch seconds of an HTTP date, or None when *text* is no HTTP date (RFC 9110, 5.6.7)."""
    for form in _HTTP_DATES:
        moment = _strptime(text, form)
        if moment:
            return moment.replace(tzinfo=timezone.utc).timestamp()
    moment = _strptime(text, _CTIME)
    return moment.replace(tzinfo=timezone.utc).timestamp() if moment else None


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


def file_status(status: AbstractStatus | None) -> dict[str, str]:
    """Return HEAD's headers for *status*, or those of a HEAD that fails for None.

    cartd reads every one of them and dies of a missing one, so a failure has them all.
    """
    if status is None:
        names = (
            "X-Pacifica-File",
            "X-Content-Length",
            "Last-Modified",
            "X-Pacifica-Ctime",
            "X-Pacifica-Bytes-Per-Level",
            "X-Pacifica-File-Storage-Media",
        )
        return {**_message("File Not found"), **dict.fromkeys(names, NOT_FOUND)}
    return {
        **_message("File was found"),
        # A plain name may hold anything but slash and NUL; a header line may not.
        "X-Pacifica-File": quote(status.filepath, safe="/!#$&'()*+,;:=@[]~ "),
        "X-Content-Length": str(status.filesize),
        "Last-Modified": str(status.mtime),
        "X-Pacifica-Ctime": str(status.ctime),
        "X-Pacifica-Bytes-Per-Level": str(tuple(status.bytes_per_level)),  # a Python tuple, sic
        "X-Pacifica-File-Storage-Media": status.file_storage_media,
        **({"X-Pacifica-Recall": status.recall} if status.recall else {}),
    }


def _message(text: str) -> dict[str, str]:
    # Three s, sic: the documented header, and the one that was meant.
    return {"X-Pacifica-Messsage": text, "X-Pacifica-Message": text}
