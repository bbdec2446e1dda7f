"""Times in requests to the tape API: durations (ISO 8601) and moments (epoch seconds)."""

import re

from ..exception import RequestError

_DAY = 86400.0  # seconds
_SECONDS = (365 * _DAY, 30 * _DAY, 7 * _DAY, _DAY, 3600.0, 60.0, 1.0)

_DURATION = re.compile(
    r"P(?=[\dT])(?:{0}Y)?(?:{0}M)?(?:{0}W)?(?:{0}D)?(?:T(?=\d)(?:{0}H)?(?:{0}M)?(?:{0}S)?)?".format(
        r"(\d{1,15}(?:[.,]\d{1,15})?)"
    ),
    re.ASCII,
)
_MOMENT = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)


def seconds_of(duration: str) -> float | None:
    """Return the seconds of *duration*, ``P1DT2H3M4S`` or ``P2W``; None if it is malformed.

    A year has 365 days and a month 30, because nothing says where the duration begins. Only the last number may
    have a fraction.
    """
    match = _DURATION.fullmatch(duration)
    if not match:
        return None
    parts = [(number, seconds) for number, seconds in zip(match.groups(), _SECONDS, strict=True) if number]
    if any(not number.isdecimal() for number, _ in parts[:-1]):
        return None
    return sum(float(number.replace(",", ".")) * seconds for number, seconds in parts)


def moment_of(text: object) -> float:
    """Return the moment, in epoch seconds, of *text*, the value of ``since``. Raises RequestError."""
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise RequestError("since is a time in epoch seconds, once")
    return float(text)
