"""Requests that Schemathesis makes of the OpenAPI document, good and bad ones: the service answers as described.

``make test-openapi`` sends many more, other ones each time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.auth.hostile_site import Site, hostile_site
from tests.support.processes import Server, uwsgi

PROGRAM = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
# Where Hypothesis keeps its tables of Unicode, which take longer to make than a hundred cases.
TABLES = {"HYPOTHESIS_STORAGE_DIRECTORY": str(Path(__file__).parents[2] / ".hypothesis")}
# For each operation; some more come for its links and its limits.
CASES = os.environ.get("OPENAPI_CASES", "")
# Of each service in the suite, where each phase but the first is left to half of the services.
CASES_IN_ALL = 500


def require_described_answers(server: Server, directory: Path, phases: str, cases: int, *options: str) -> None:
    """Send requests of all kinds to *server*, and fail if an answer is not as its document describes it."""
    report = directory / "report.json"
    chosen = [f"--max-examples={CASES}"] if CASES else [f"--max-examples={cases}", f"--phases={phases}", "--seed=1"]
    command = [str(PROGRAM), "--config-file", str(CONFIG), "run", f"{server.url}/-/openapi.json", "--no-color"]
    command += [*chosen, *options, "--generation-database=none", "--report=json", f"--report-json-path={report}"]
    run = subprocess.run(command, cwd=directory, env={**os.environ, **TABLES}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["test_cases"]["generated"] >= CASES_IN_ALL


def test_the_launcher_answers_as_described(server: Server, tmp_path: Path) -> None:
    require_described_answers(server, tmp_path, "coverage,fuzzing", 5)


def test_uwsgi_answers_as_described(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    with uwsgi(tmp_path / "archive", "--buffer-size=65535") as server:  # a longer head gets no answer
        require_described_answers(server, tmp_path, "coverage,stateful", 20)


def test_the_launcher_answers_users_as_described(guarded: Site, tmp_path: Path) -> None:
    require_described_answers(guarded.server, tmp_path, "coverage,stateful", 20, "-H", guarded.bearer("admin"))


def test_uwsgi_answers_users_as_described(tmp_path: Path) -> None:
    with hostile_site(tmp_path, "uwsgi") as site:
        require_described_answers(site.server, tmp_path, "coverage,fuzzing", 5, "-H", site.bearer("admin"))
