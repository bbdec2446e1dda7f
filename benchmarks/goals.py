"""What was to be reached, and whether it was: ratios within each round, then their median over the rounds."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .growth import LAYOUTS
from .services import (
    BEFORE_LAUNCHER,
    BEFORE_UWSGI,
    CHERRYPY_LAUNCHER,
    CHERRYPY_UWSGI,
    LAUNCHER,
    LENGTHLESS_UWSGI,
    NGINX,
    NOT_DURABLE,
    ORIGINAL_UWSGI,
    UWSGI,
    WSGI_UWSGI,
)

Record = Mapping[str, Any]
Key = tuple[str, str, int]  # place, work, clients

MOST_MEBIBYTES = 64  # that many large transfers at a time may add
ROUNDS_FOR_A_VERDICT = 5

# Work (of any size when it ends in a blank), service, the one it is measured by, and the least ratio.
_RATIOS = [
    *((f"{verb} 1 KiB", UWSGI, ORIGINAL_UWSGI, 1.25) for verb in ("GET", "HEAD")),
    *((f"{verb} 1 KiB", UWSGI, CHERRYPY_UWSGI, 0.9) for verb in ("GET", "HEAD")),
    *((f"{verb} 1 KiB", LAUNCHER, CHERRYPY_LAUNCHER, 0.9) for verb in ("GET", "HEAD")),
    ("PUT 1 KiB", UWSGI, ORIGINAL_UWSGI, 0.6),
    ("PUT 1 KiB", NOT_DURABLE, ORIGINAL_UWSGI, 1.1),
    ("large GET", UWSGI, ORIGINAL_UWSGI, 1.0),
    ("large GET", UWSGI, NGINX, 1.0),
    ("large PUT", UWSGI, ORIGINAL_UWSGI, 0.85),
    ("large PUT", NOT_DURABLE, ORIGINAL_UWSGI, 0.85),
]
_LEAST_WHEN_GROWN = 0.9


@dataclass(frozen=True)
class Spread:
    """The median of *ratios*, and how far they spread."""

    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """The ratio that counts."""
        return statistics.median(self.ratios)

    def __str__(self) -> str:
        return f"{self.median:.2f} | {min(self.ratios):.2f}..{max(self.ratios):.2f}"


@dataclass(frozen=True)
class Outcome:
    """How one *goal* was met: *what* was compared at which *work*, what was *found*, and whether that reaches it."""

    place: str
    work: str
    clients: str
    what: str
    goal: str
    found: Spread | str
    reached: bool


class Rates:
    """The rates of the records, by place, work and clients, then by service, then by round."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Sort *records*."""
        self._rates: dict[Key, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        self._lengthless: set[tuple[Key, str]] = set()
        for record in records:
            key = (record["place"], record["work"], record["clients"])
            self._rates[key][record["service"]][record["round"]] = record["rate"]
            if record.get("lengthless") and record["work"].startswith("GET"):
                self._lengthless.add((key, record["service"]))

    @property
    def keys(self) -> list[Key]:
        """Every place, work and number of clients there is."""
        return list(self._rates)

    def ratio(self, key: Key, service: str, other: str) -> Spread | None:
        """Return how many times the rate of *other* the *service* has; None where one of them is missing."""
        ours, theirs = self._fair(key, service), self._fair(key, other)
        ratios = tuple(ours[number] / theirs[number] for number in sorted(ours.keys() & theirs.keys()))
        return Spread(ratios) if ratios and all(ratios) else None

    def _fair(self, key: Key, service: str) -> dict[int, float]:
        """Return the rates, without what wrk itself costs where an answer has no Content-Length."""
        rates = {number: rate for number, rate in self._rates[key].get(service, {}).items() if rate}
        if (key, service) not in self._lengthless:
            return rates
        toll = self._toll(key)
        # At most half: where noise exceeds what is measured, nothing is known.
        return {number: 1 / max(1 / rate - toll, 0.5 / rate) for number, rate in rates.items()}

    def _toll(self, key: Key) -> float:
        """Return how many seconds longer the bare handler takes for an answer after which wrk connects twice."""
        bare, twice = self._rates[key].get(WSGI_UWSGI, {}), self._rates[key].get(LENGTHLESS_UWSGI, {})
        tolls = [1 / twice[number] - 1 / bare[number] for number in twice.keys() & bare.keys()]
        return max(statistics.median(tolls), 0) if tolls else 0


def outcomes(results: Mapping[str, Any]) -> list[Outcome]:
    """Return what has come of each goal, as far as it was measured."""
    rates = Rates(results["records"])
    return [
        *_ratio_outcomes(rates, results["about"]["file systems"]),
        *_memory_outcomes(results["memory"]),
        *_growth_outcomes(results["growth"]),
    ]


def _ratio_outcomes(rates: Rates, file_systems: Mapping[str, str]) -> Iterator[Outcome]:
    for work, service, other, least in _RATIOS:
        for key in rates.keys:
            place, name, clients = key
            # What is not on a disk survives nothing, durable or not.
            durable_put = work == "PUT 1 KiB" and service == UWSGI
            if not _is(name, work) or (durable_put and file_systems[place] == "tmpfs"):
                continue
            if found := rates.ratio(key, service, other):
                unit = "stream" if work.startswith("large") else "connection"
                counted = f"{clients} {unit}{'s' * (clients > 1)}"
                what = f"{service} / {other}"
                yield Outcome(place, name, counted, what, f"≥ {least:g}", found, found.median >= least)


def is_large(work: str) -> bool:
    """Tell whether *work* is in the large file, whatever its size is in this run."""
    return not any(work.endswith(size) for size in (" 1 KiB", " 64 KiB", " 1 MiB", "mixed"))


def _is(name: str, work: str) -> bool:
    if work.startswith("large "):
        return is_large(name) and name.startswith(work.removeprefix("large "))
    return name == work


def _memory_outcomes(records: Sequence[Record]) -> Iterator[Outcome]:
    for record in records:
        added = record["peak_mebibytes"] - record["before_mebibytes"]
        work, counted = f"transfers of {record['mebibytes']} MiB", f"{record['transfers']} at a time"
        what = f"{record['service']}: memory added"
        reached = added <= MOST_MEBIBYTES
        yield Outcome(record["place"], work, counted, what, f"≤ {MOST_MEBIBYTES} MiB", f"{added:.0f} MiB | ", reached)


def _growth_outcomes(records: Sequence[Record]) -> Iterator[Outcome]:
    tree = next(layout for layout, uses_tree in LAYOUTS.items() if uses_tree)
    for record, found in growth_ratios(records):
        if record["layout"] == tree and record["files"] == max(other["files"] for other in records):
            work, counted = f"{record['kind']} 1 KiB, {tree}", f"{record['clients']} connections"
            fewest = min(other["files"] for other in records)
            what, goal = f"{record['files']:,} files / {fewest:,} files", f"≥ {_LEAST_WHEN_GROWN:g}"
            yield Outcome(record["place"], work, counted, what, goal, found, found.median >= _LEAST_WHEN_GROWN)


def growth_ratios(records: Sequence[Record]) -> Iterator[tuple[Record, Spread]]:
    """Yield one record for each layout, kind and number of files, with the ratio to the fewest files."""
    fewest = min((record["files"] for record in records), default=0)
    rates: dict[tuple[str, str, int], dict[int, float]] = defaultdict(dict)
    for record in records:
        rates[record["layout"], record["kind"], record["files"]][record["round"]] = record["rate"]
    for record in records:
        if record["round"] == 0:
            ours = rates[record["layout"], record["kind"], record["files"]]
            theirs = rates[record["layout"], record["kind"], fewest]
            yield record, Spread(tuple(rate / theirs[number] for number, rate in ours.items()))


def changes(results: Mapping[str, Any]) -> Iterator[tuple[Key, str, Spread]]:
    """Yield what has become of the rates since the revision before, if one took part."""
    rates = Rates(results["records"])
    for key in rates.keys:
        for service, before in ((UWSGI, BEFORE_UWSGI), (LAUNCHER, BEFORE_LAUNCHER)):
            if found := rates.ratio(key, service, before):
                yield key, service, found
