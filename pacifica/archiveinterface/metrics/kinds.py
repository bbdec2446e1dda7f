"""Counters and histograms whose labels have fixed sets of values: the cells of each are known from the start."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, product
from math import inf
from typing import NamedTuple

from .cells import Change

Labels = Mapping[str, Sequence[str]]
"""The values that each label may have."""


_FEW = 20  # Prometheus sees a counter rise only if it has seen it before


class Sample(NamedTuple):
    """What was counted with these *values* of the labels; of a histogram also how often, by its bounds."""

    values: tuple[str, ...]
    total: float
    buckets: Sequence[tuple[str, float]]


class Counter:
    """Something that is counted, with a cell for each combination of the values of its labels."""

    def __init__(self, name: str, meaning: str, labels: Labels | None = None, bounds: Sequence[float] = ()) -> None:
        """Count what *meaning* says, and for each of *bounds* how often."""
        self.name, self.meaning, self.bounds = name, meaning, bounds
        self.labels = labels or {}
        self._width = 1 + len(bounds)
        self._first_of = {values: number * self._width for number, values in enumerate(product(*self.labels.values()))}
        self._begin = 0

    def place(self, begin: int) -> int:
        """Use the cells from *begin* on, and return the first one behind them."""
        self._begin = begin
        return begin + len(self._first_of) * self._width

    def cell(self, *values: str) -> int:
        """Return the first cell of these *values* of the labels."""
        return self._begin + self._first_of[values]

    def change(self, *values: str) -> Change:
        """Return what counts one more with these *values* of the labels."""
        return self.cell(*values), 1

    def samples(self, cells: Sequence[float]) -> Iterator[Sample]:
        """Yield what *cells* hold; where there are many combinations of values, only what was ever counted."""
        are_few = not self.bounds and len(self._first_of) <= _FEW
        for values, first in self._first_of.items():
            total, *counts = cells[self._begin + first : self._begin + first + self._width]
            if are_few or total or any(counts) or not values:
                yield Sample(values, total, list(zip(map(_written, self.bounds), accumulate(counts), strict=True)))


class Histogram(Counter):
    """Seconds: their sum, and how many lie between two bounds."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float], labels: Labels | None = None) -> None:
        """Count what *meaning* says."""
        super().__init__(name, meaning, labels, (*bounds, inf))

    def changes(self, first: int, seconds: float) -> tuple[Change, Change]:
        """Return what counts *seconds* in the cells from *first* on, the `cell` of the values of the labels."""
        return (first, seconds), (first + 1 + bisect_left(self.bounds, seconds), 1)


class Reading(NamedTuple):
    """Something that is looked up when somebody asks; *is_counter*: it never falls."""

    name: str
    meaning: str
    labels: Sequence[str] = ()
    is_counter: bool = False


def _written(bound: float) -> str:
    return "+Inf" if bound == inf else str(bound)
