"""The results as files: results.json, report.md with every figure, summary.md for the documentation, and plots."""

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from .goals import ROUNDS_FOR_A_VERDICT, Outcome, Record, changes, growth_ratios, is_large, outcomes

_SINCE_BEFORE = "Rates as multiples of what the revision before had in the same round."


def write_report(results: Mapping[str, Any], out: Path) -> None:
    """Write *results* into the directory *out*: as JSON, as a report, as a summary and as plots."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for old in out.glob("*.svg"):
        old.unlink()
    from .plots import draw_plots  # matplotlib takes a second to load, also in who only measures

    plots = draw_plots(results, out)
    (out / "report.md").write_text(_joined(_report(results, plots)))
    (out / "summary.md").write_text(_joined(_summary(results, plots)))


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _report(results: Mapping[str, Any], plots: Mapping[str, str]) -> Iterator[str]:
    yield "# Benchmarks"
    yield from _about(results["about"])
    yield "## Goals"
    yield from _goals(outcomes(results), results["about"]["rounds"])
    yield from _changes(results)
    yield from _plots(plots)
    yield from _growth(results["growth"])
    yield from _memory(results["memory"])
    yield from _bytes_alone(results["bytes alone"])
    yield from _rates(results["records"])


def _summary(results: Mapping[str, Any], plots: Mapping[str, str]) -> Iterator[str]:
    yield "<!-- Written by `make bench` or `make bench-change`, published by the target that ends in -publish. -->"
    yield from _about(results["about"])
    yield from _goals_by_clients(outcomes(results), results["about"]["rounds"])
    yield from _changes_by_clients(results)
    if not results["about"]["change"]:
        yield from _plots(plots)


def _plots(plots: Mapping[str, str]) -> Iterator[str]:
    for name, shown in plots.items():
        yield f"![{shown}]({name})"
        yield f"*{shown}; from the least to the greatest of the rounds.*"


def _about(about: Mapping[str, Any]) -> Iterator[str]:
    command = "make bench-quick" if about["quick"] else "make bench-change" if about["change"] else "make bench"
    yield f"`{command}` on {about['date']}, in {about['minutes']:.0f} minutes."
    if about["quick"]:
        yield "This is the quick form, one round of little work: it proves nothing but that the comparison runs."
    systems = ", ".join(f"{place} ({system})" for place, system in about["file systems"].items())
    turns = f"{about['rounds']}; a turn at small files takes {about['seconds']} s"
    rows = [("Machine", about["machine"]), ("File systems", systems), ("Rounds", turns), *about["versions"].items()]
    yield _table(("", ""), rows)


def _goals(found: Sequence[Outcome], rounds: int) -> Iterator[str]:
    yield _verdict(found, rounds)
    rows = [
        (each.place, each.work, each.clients, each.what, each.goal, each.found, _reached(each, rounds))
        for each in found
    ]
    yield _table(("Place", "Work", "Clients", "Compared", "Goal", "Median", "Spread", ""), rows)


def _goals_by_clients(found: Sequence[Outcome], rounds: int) -> Iterator[str]:
    """Yield the goals with one row for each comparison: the medians by the number of clients."""
    yield _verdict(found, rounds)
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for each in found:
        groups.setdefault((each.what, each.work, each.place, each.goal), []).append(each)
    rows = [(*key, "; ".join(_by_clients(each) for each in same)) for key, same in groups.items()]
    yield _table(("Compared", "Work", "Place", "Goal", "Clients: median (least to greatest)"), rows)


def _by_clients(outcome: Outcome) -> str:
    shown, clients = _in_words(outcome.found), outcome.clients.partition(" ")[0]
    return f"{clients}: {shown}" if outcome.reached else f"{clients}: **{shown}**"


def _in_words(found: object) -> str:
    median, _, spread = str(found).partition(" | ")
    return f"{median} ({spread.replace('..', ' to ')})" if spread else median


def _verdict(found: Sequence[Outcome], rounds: int) -> str:
    reached = f"{sum(outcome.reached for outcome in found)} of {len(found)}"
    if rounds >= ROUNDS_FOR_A_VERDICT:
        return f"{reached} goals are reached; the others are in bold."
    measured = (
        f"These figures come from {rounds} round{'s' * (rounds > 1)}, and a verdict needs {ROUNDS_FOR_A_VERDICT}."
    )
    return f"{measured} So far {reached} medians meet their goal; the others are in bold."


def _reached(outcome: Outcome, rounds: int) -> str:
    if rounds >= ROUNDS_FOR_A_VERDICT:
        return "reached" if outcome.reached else "**not reached**"
    return "met so far" if outcome.reached else "**not met so far**"


def _changes(results: Mapping[str, Any]) -> Iterator[str]:
    rows = [(place, work, clients, service, found) for (place, work, clients), service, found in changes(results)]
    if rows:
        yield "## Since the revision before"
        yield _SINCE_BEFORE
        yield _table(("Place", "Work", "Clients", "Service", "Median", "Spread"), rows)


def _changes_by_clients(results: Mapping[str, Any]) -> Iterator[str]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for (place, work, clients), service, found in changes(results):
        groups.setdefault((service, work, place), []).append(f"{clients}: {_in_words(found)}")
    if groups:
        yield _SINCE_BEFORE
        rows = [(*key, "; ".join(found)) for key, found in groups.items()]
        yield _table(("Service", "Work", "Place", "Clients: median (least to greatest)"), rows)


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
