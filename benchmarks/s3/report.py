"""The ratios as a table."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from ..services import LAUNCHER, RCLONE, UWSGI
from .turns import BOTO3_PROCESSES, BOTO3_THREADS, RCLONE_STRAIGHT

Record = Mapping[str, Any]


def ratio_table(records: Sequence[Record]) -> str:
    """Return a row for each work: the median of the ratios of each round, with the least and the greatest."""
    rows = ["| work | clients | compared with | launcher | uWSGI |", "|---|---|---|---|---|"]
    for work, clients in dict.fromkeys((record["work"], record["clients"]) for record in records):
        some = [record for record in records if (record["work"], record["clients"]) == (work, clients)]
        for floor in (BOTO3_PROCESSES, BOTO3_THREADS, RCLONE_STRAIGHT, RCLONE):
            cells = [_cell(_ratios(some, service, floor)) for service in (LAUNCHER, UWSGI)]
            if any(cells):
                rows.append(f"| {work} | {clients} | {floor} | {' | '.join(cells)} |")
    return "\n".join(rows)


def memory_table(records: Iterable[Record]) -> str:
    """Return a row for each service and way."""
    rows = ["| service | transfer | before, MiB | at most, MiB |", "|---|---|---|---|"]
    for record in records:
        names = [f"{record[name]}" for name in ("service", "work", "before_mebibytes", "peak_mebibytes")]
        rows.append(f"| {' | '.join(names)} |")
    return "\n".join(rows)


def _ratios(records: Sequence[Record], service: str, floor: str) -> list[float]:
    rates = {(record["participant"], record["round"]): record["rate"] for record in records}
    return [rates[service, turn] / rate for (name, turn), rate in rates.items() if name == floor and rate]


def _cell(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
