"""What a principal may use: ``bytes 10T, files 1000000, requests 50/s, burst 100, transfers 8``."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..exception import ConfigurationError
from ..options import read_text

_POWERS = "KMGTP"
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([KMGTP])(i?))?")
_GRAMMAR = "a list of bytes, files, requests, burst and transfers: bytes 10T, files 1000000, requests 50/s, transfers 8"


class Allowance(NamedTuple):
    """The most that may be used; None for any amount. *requests* are those of a second, *burst* those at once."""

    bytes: int | None = None
    files: int | None = None
    requests: float | None = None
    burst: float | None = None
    transfers: int | None = None

    @property
    def most_at_once(self) -> float:
        """How many requests may come at once after a pause: *burst*, or those of a second, one at least."""
        return max(1.0, self.requests or 0) if self.burst is None else self.burst

    @property
    def has_quota(self) -> bool:
        """Whether what is stored has a limit."""
        return self.bytes is not None or self.files is not None

    @property
    def has_rates(self) -> bool:
        """Whether requests or transfers have a limit."""
        return self.requests is not None or self.transfers is not None


def amount(text: str) -> int:
    """Parse a number, perhaps with a decimal (K, M, G, T, P) or a binary unit (Ki, Mi, ...)."""
    match = _AMOUNT.fullmatch(text)
    if not match:
        raise ValueError("a number, perhaps with one of the units K, M, G, T and P, or Ki, Mi, Gi, Ti and Pi")
    number, unit, binary = match.groups()
    return round(float(number) * (1024 if binary else 1000) ** (_POWERS.index(unit) + 1)) if unit else _whole(number)


def most(text: str) -> int | None:
    """Parse an amount, or nothing."""
    return amount(text) if text else None


def allowance(text: str) -> Allowance:
    """Parse what a principal may use."""
    words = [each.split(None, 1) for each in text.replace("\n", ",").split(",") if each.strip()]
    given: dict[str, Any] = {}
    try:
        for name, value in words:
            given[name] = _parsed(name, value.strip())
    except (ValueError, KeyError):
        raise ValueError(_GRAMMAR) from None
    if len(given) != len(words) or ("burst" in given and "requests" not in given):
        raise ValueError(_GRAMMAR)
    return Allowance()._replace(**given)


def _parsed(name: str, value: str) -> int | float:
    if name in ("bytes", "files"):
        return amount(value)
    number = float(value.removesuffix("/s") if name == "requests" else value)
    least = {"requests": 0.001, "burst": 1, "transfers": 1}[name]
    if not least <= number < float("inf"):
        raise ValueError
    return _whole(value) if name == "transfers" else number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("a whole number")
    return int(text)


def read_allowances(path: str, default: Allowance) -> Mapping[str, Allowance]:
    """Return what the file at *path* lets each principal use: lines of the form ``name = bytes 10T, ...``.

    What a line does not name is as in *default*. Raises ConfigurationError.
    """
    found: dict[str, Allowance] = {}
    for number, line in enumerate(map(str.strip, read_text(path).splitlines()), 1):
        if not line or line.startswith(("#", ";")):
            continue
        name, is_line, text = (part.strip() for part in line.rpartition("="))
        place = f"{path}: line {number}"
        if not is_line or not name:
            raise ConfigurationError(f"{place} is not a name, = and what it may use")
        if name in found:
            raise ConfigurationError(f"{place}: {name} has two lines")
        try:
            found[name] = default._replace(**_given(allowance(text)))
        except ValueError as error:
            raise ConfigurationError(f"{place}: {text!r} is not {error}") from None
    return found


def _given(chosen: Allowance) -> dict[str, Any]:
    given = {name: value for name, value in chosen._asdict().items() if value is not None}
    return {**given, "burst": chosen.burst} if "requests" in given else given
