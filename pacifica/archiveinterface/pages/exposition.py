"""Metrics in the formats of Prometheus, written by prometheus_client."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..metrics.definitions import CELLS, COUNTED, IN_FLIGHT, IN_FLIGHT_CELL, PREFIX, PROCESS_CELL, PROCESSES
from ..metrics.kinds import Counter, Histogram
from .readings import Read

_PROCESS = "process"  # a label: the number of a process; one that takes the place of another has its number


def exposed(accept: str, readings: Iterable[Read]) -> tuple[bytes, str]:
    """Return all metrics, and the *readings*, in the format that the header *accept* asks for, and its media type."""
    encode, content_type = choose_encoder(accept)
    return encode(_Metrics(readings)), content_type


class _Metrics(Collector):
    def __init__(self, readings: Iterable[Read]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        totals, processes = CELLS.totals(), CELLS.of_processes()
        for metric in COUNTED:
            yield _counted(metric, totals)
        in_flight = sum(cells[IN_FLIGHT_CELL] for cells in processes.values())
        for read in (Read(IN_FLIGHT, [((), in_flight)]), Read(PROCESSES, [((), len(processes))]), *self._readings):
            yield _looked_up(read)
        yield from _of_processes({number: int(cells[PROCESS_CELL]) for number, cells in processes.items()})


def _counted(metric: Counter, totals: Sequence[float]) -> Metric:
    name, meaning, labels = PREFIX + metric.name, _plain(metric.meaning), list(metric.labels)
    if isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(name, meaning, labels=labels)
        for sample in metric.samples(totals):
            histogram.add_metric(sample.values, sample.buckets, sample.total)
        return histogram
    counter = CounterMetricFamily(name, meaning, labels=labels)
    for sample in metric.samples(totals):
        counter.add_metric(sample.values, sample.total)
    return counter


def _looked_up(read: Read) -> Metric:
    kind = CounterMetricFamily if read.reading.is_counter else GaugeMetricFamily
    family = kind(PREFIX + read.reading.name, _plain(read.reading.meaning), labels=list(read.reading.labels))
    for values, number in read.numbers:
        family.add_metric(values, number)
    return family


def _plain(meaning: str) -> str:
    return meaning.replace("`", "")


def _of_processes(processes: Mapping[int, int]) -> Iterable[Metric]:
    """Return what the system tells of *processes*, process ids by their numbers."""
    families: dict[str, Metric] = {}
    for number, pid in processes.items():
        for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            merged.samples += [each._replace(labels={_PROCESS: str(number)}) for each in family.samples]
    return families.values()
