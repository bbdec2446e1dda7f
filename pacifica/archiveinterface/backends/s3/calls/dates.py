"""Times in answers of the store, by its own clock."""

import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
from typing import Any


def parse_date(text: str) -> float | None:
    """Return the HTTP date *text* in epoch seconds, None when it is malformed."""
    with suppress(ValueError, OverflowError, TypeError):
        fields = parsedate_tz(text)
        return float(mktime_tz(fields)) if fields else None
    return None


def time_of(answer: Mapping[str, Any]) -> float:
    """Return when the store gave the *answer*; the time of this host when it does not tell."""
    stated = parse_date(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
    return time.time() if stated is None else stated
