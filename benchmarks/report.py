"""The results as files: results.json, the page index.md with its tables, and the plots beside it."""

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from .goals import Outcome, Record, changes, growth_ratios, is_large, outcomes
from .plots import draw_plots
from .services import NGINX, RCLONE

_NOTES = f"""\
- Only ratios within this run mean something: the machine is shared, and how fast it is differs from hour to hour.
  A ratio is that of two services within one round; its median over the rounds counts, and the least and the
  greatest show how far it can be trusted.
- All services run at once, and take turns. Requests for small files come from wrk on the same machine, which
  competes with them for the processors; those for large files from one curl a stream.
- The status of every answer is checked, and its bytes: all that wrk gets, and all that a PUT stored. A large file
  that curl gets is counted while it is timed, and compared byte by byte when it is got once more. *Wrong* are
  answers and files that failed; *errors* are connections that did.
- Latencies are those of wrk: from the request, on a connection that is there, to the end of the answer, corrected
  for requests that could not be sent meanwhile. Medians over the rounds.
- Processor time counts all processes of a service, user and system; so does memory, the sum of what each had
  resident at most, in which pages that they share count for each.
- The original gives no Content-Length with a GET. wrk takes the end of such an answer, all of which it has, for a
  failed read, and connects twice for the next; such reads are no *errors* here. In goals and plots its rate is given
  back what the second connection costs, as the bare WSGI function shows it with and without the header (median of
  the rounds); the tables of rates, and the mixed work, show what wrk says. The original knows no ranges.
- HEAD is asked of {NGINX} and {RCLONE} with If-Modified-Since: wrk would wait for the bytes that 200 announces.
- uWSGI's `http-socket` closes each connection after its answer; the launcher, nginx and rclone keep it.
- Reads come from memory in all places: files were written just before. Memory and growth are measured in the last
  place only. In a large archive ids to PUT have their directories already; in a small one these are made.
"""


def write_report(results: Mapping[str, Any], out: Path) -> None:
    """Write *results* into the directory *out*: as JSON, as a page and as plots."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for old in out.glob("*.svg"):
        old.unlink()
    (out / "index.md").write_text(page(results, draw_plots(results, out)))


def page(results: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    """Return the page that shows *results*; *plots* are names of files with what they show."""
    parts = [
        "# Benchmarks",
        *_about(results["about"]),
        "## Goals",
        *_goals(outcomes(results)),
        *_changes(results),
        "## What the figures mean",
        _NOTES.strip(),
        *(
            f"![{shown}]({name})\n\n*{shown}; from the least to the greatest of the rounds.*"
            for name, shown in plots.items()
        ),
        *_growth(results["growth"]),
        *_memory(results["memory"]),
        *_bytes_alone(results["bytes alone"]),
        *_rates(results["records"]),
    ]
    return "\n\n".join(parts) + "\n"


def _about(about: Mapping[str, Any]) -> Iterator[str]:
    command = "make bench-quick" if about["quick"] else "make bench"
    yield f"`{command}` on {about['date']}, in {about['minutes']:.0f} minutes. [All figures](results.json)"
    if about["quick"]:
        yield "This is the quick form, one round of little work: it proves nothing but that the comparison runs."
    systems = ", ".join(f"{place} ({system})" for place, system in about["file systems"].items())
    turns = f"{about['rounds']}; a turn at small files takes {about['seconds']} s"
    rows = [("Machine", about["machine"]), ("File systems", systems), ("Rounds", turns), *about["versions"].items()]
    yield _table(("", ""), rows)


def _goals(found: Sequence[Outcome]) -> Iterator[str]:
    if not found:
        yield "None of them was measured."
        return
    yield f"{sum(outcome.reached for outcome in found)} of {len(found)} are reached."
    rows = [
        (outcome.where, outcome.what, outcome.goal, outcome.found, "reached" if outcome.reached else "**not reached**")
        for outcome in found
    ]
    yield _table(("Where", "What", "Goal", "Median", "Spread", ""), rows)


def _changes(results: Mapping[str, Any]) -> Iterator[str]:
    rows = [(place, work, clients, service, found) for (place, work, clients), service, found in changes(results)]
    if rows:
        yield "## Since the revision before"
        yield "Rates as multiples of what the revision before had in the same round."
        yield _table(("Place", "Work", "Clients", "Service", "Median", "Spread"), rows)


def _growth(records: Sequence[Record]) -> Iterator[str]:
    if not records:
        return
    yield "## Growth"
    yield "Under uWSGI, with files of 1 KiB that are holes; ratios to the fewest files."
    rows: list[tuple[object, ...]] = []
    for record, ratio in growth_ratios(records):
        same = [other for other in records if all(other[name] == record[name] for name in ("layout", "kind", "files"))]
        rate, peak, wrong = _median(same, "rate"), _median(same, "peak_mebibytes"), _sum(same, "wrong")
        figures = (f"{rate:.0f}", ratio, f"{peak:.0f}", wrong, _sum(same, "errors"))
        rows.append((record["place"], record["layout"], record["kind"], f"{record['files']:,}", *figures))
    header = ("Place", "Layout", "Verb", "Files", "Requests/s", "Ratio", "Spread", "Peak, MiB", "Wrong", "Errors")
    yield _table(header, rows)


def _memory(records: Sequence[Record]) -> Iterator[str]:
    if not records:
        return
    yield "## Memory"
    yield "Half of the transfers are uploads, half downloads. All are sent at a time; uWSGI's four workers serve four."
    rows = [
        (
            record["place"],
            record["service"],
            f"{record['transfers']} of {record['mebibytes']} MiB",
            f"{record['before_mebibytes']:.0f}",
            f"{record['peak_mebibytes']:.0f}",
            record["wrong"],
        )
        for record in records
    ]
    yield _table(("Place", "Service", "Transfers", "Before, MiB", "At most, MiB", "Wrong"), rows)


def _bytes_alone(records: Sequence[Record]) -> Iterator[str]:
    if not records:
        return
    yield "## The bytes alone"
    yield "One process on the large file, without any service; `openssl speed` works in memory."
    rows = [
        (place, what, f"{_median(same, 'rate'):.0f}")
        for (place, what), same in _grouped(records, "place", "what").items()
    ]
    yield _table(("Place", "What", "MiB/s"), rows)


def _rates(records: Sequence[Record]) -> Iterator[str]:
    for (place,), ours in _grouped(records, "place").items():
        yield f"## Rates on {place}"
        for (work,), same in _grouped(ours, "work").items():
            yield f"### {work} ({place})"
            large = is_large(work)
            rows = [_rate_row(each, large) for each in _grouped(same, "clients", "service").values()]
            rate, cpu = ("MiB/s", "CPU s/GB") if large else ("Requests/s", "CPU s/1000")
            latencies = () if large else ("p50, ms", "p99, ms")
            clients = "Streams" if large else "Connections"
            yield _table((clients, "Service", rate, *latencies, cpu, "Peak, MiB", "Wrong", "Errors"), rows)


def _rate_row(same: Sequence[Record], large: bool) -> tuple[object, ...]:
    latencies = [] if large else [f"{_median(same, name):.2f}" for name in ("p50_ms", "p99_ms")]
    cpu = _median(same, "cpu_seconds_per_gb" if large else "cpu_seconds_per_1000")
    peak = f"{_median(same, 'peak_mebibytes'):.0f}"
    counts = _sum(same, "wrong"), _sum(same, "errors")
    return (
        same[0]["clients"],
        same[0]["service"],
        f"{_median(same, 'rate'):.0f}",
        *latencies,
        f"{cpu:.2f}",
        peak,
        *counts,
    )


def _grouped(records: Iterable[Record], *names: str) -> dict[tuple[Any, ...], list[Record]]:
    """Return *records* by what they have under *names*, in the order in which they come."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for key, same in groupby(records, lambda record: tuple(record[name] for name in names)):
        groups.setdefault(key, []).extend(same)
    return groups


def _median(records: Iterable[Record], name: str) -> float:
    return float(statistics.median(record[name] for record in records))


def _sum(records: Iterable[Record], name: str) -> int:
    return sum(record[name] for record in records)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
