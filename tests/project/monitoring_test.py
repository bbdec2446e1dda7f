"""The alert rules and the dashboard: promtool reads them, and they ask for metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from docs.examples.tape_backend import TapeBackendArchive
from pacifica.archiveinterface.backends.measuring import measured
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from tests.support.metrics import Metrics, await_idle
from tests.support.needs import need
from tests.support.service import TIMEOUT, serving

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana-dashboard.json"
NAME = re.compile(r"\b(?:archiveinterface|process)_\w+")
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$resource": "file"}


def promtool(*arguments: str | Path) -> None:
    """Run promtool, which must find nothing wrong."""
    need("promtool")
    command = [shutil.which("promtool") or "promtool", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Return what the panels ask for, with values for their variables."""
    found = []
    for target in (target for panel in panels() for target in panel["targets"]):
        expression = target["expr"]
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        found.append(expression)
    return found


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all samples that a service on disk and one with tape expose after a request."""
    disk, tape = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("tape")
    options = RecallOptions(database=f"sqlite:///{tape}/recalls.db")
    names = set()
    with serving(measured(PosixBackendArchive)(str(disk))) as service:
        service.request("PUT", "/1", data=bytes(1 << 24))
        with requests.get(f"{service.url}/1", stream=True, timeout=TIMEOUT):
            pass  # the client leaves before the file is complete
        names |= {sample.name for sample in await_idle(service.url).samples}
    archive = TapeBackendArchive(str(tape))
    with serving(archive, recalls=RecallService(archive, Store("tape", options), options)) as service:
        metrics = Metrics(service.url)
        # Those of volumes have no samples while nothing waits.
        names |= {sample.name for sample in metrics.samples} | {family.name for family in metrics.families}
    return names


def test_the_alert_rules_are_rules() -> None:
    promtool("check", "rules", ALERTS)


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", Path(__file__).with_name("alerts.yaml"))
    tested = Path(__file__).with_name("alerts.yaml").read_text()
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    assert len(alerts) > 10
    assert [name for name in alerts if f'alertname="{name}"' not in tested] == []


def test_every_panel_asks_what_prometheus_understands(tmp_path: Path) -> None:
    rules = [{"record": f"panel:number{number}", "expr": text} for number, text in enumerate(expressions())]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yaml")
    assert len(rules) > 20
    assert "$" not in "".join(expressions())


def test_panels_and_alerts_ask_for_metrics_that_there_are(exposed: set[str]) -> None:
    asked = set(NAME.findall("".join(expressions()))) | set(NAME.findall(ALERTS.read_text()))
    assert asked - exposed == set()
    told = {name for name in exposed if not name.endswith(("_created", "_sum", "_count", "_bucket"))}
    assert len(asked) > len(told) / 2


def test_panels_have_a_title_of_their_own_and_overlap_nowhere() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
    cells = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + line)
        for panel in panels()
        for column in range(panel["gridPos"]["w"])
        for line in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))


def test_the_manual_shows_how_to_scrape(tmp_path: Path) -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    token = tmp_path / "token"
    token.write_text("abc")
    alerts = f"rule_files: [{ALERTS}]\n"
    (tmp_path / "prometheus.yml").write_text(
        alerts + shown.replace("/etc/prometheus/archiveinterface.token", str(token))
    )
    promtool("check", "config", tmp_path / "prometheus.yml")
