"""What a service tells on its page of metrics."""

from collections.abc import Callable

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import TIMEOUT
from tests.support.waiting import await_true


class Metrics:
    """The metrics of the service at *url*, as they are now; the prefix of their names is left out."""

    def __init__(self, url: str) -> None:
        answer = requests.get(f"{url}/-/metrics", timeout=TIMEOUT)
        assert answer.status_code == 200, answer.text
        self.families = list(text_string_to_metric_families(answer.text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """Return the sum of the samples *name* with these *labels*."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == f"archiveinterface_{name}" and labels.items() <= sample.labels.items()
        )

    def values_of(self, label: str, name: str) -> dict[str, float]:
        """Return the samples *name* by the values of a *label*."""
        found: dict[str, float] = {}
        for sample in self.samples:
            if sample.name == f"archiveinterface_{name}":
                value = sample.labels[label]
                found[value] = found.get(value, 0) + sample.value
        return found


def await_metrics(url: str, holds: Callable[[Metrics], object]) -> Metrics:
    """Return the metrics of the service at *url* once *holds* is true of them: requests are counted a little later."""
    found: list[Metrics] = []

    def holds_now() -> object:
        found[:] = [Metrics(url)]
        return holds(*found)

    await_true(holds_now)
    return found[0]


def await_idle(url: str) -> Metrics:
    """Return the metrics of the service at *url* once no other request is being answered."""
    return await_metrics(url, lambda metrics: metrics("http_requests_in_flight") == 1)
