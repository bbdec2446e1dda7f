"""The benchmarks of recalls measure what they name. Speed is no matter here; the order of recalls is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.needs import need
from tests.support.service import TIMEOUT

ROOT = Path(__file__).parents[2]


def lines_of(module: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a benchmark and return what it prints."""
    need("cc")
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_each_volume_is_mounted_once_and_wound_forwards(tmp_path: Path) -> None:
    arrival, recaller, least, _ = lines_of("benchmarks.library", str(tmp_path), "--files", "200", "--volumes", "10")
    assert recaller["mounts"] == least["mounts"] == 10
    assert arrival["mounts"] > 10 * recaller["mounts"]
    assert least["seek_distance"] <= recaller["seek_distance"] < arrival["seek_distance"]
    assert least["hours"] <= recaller["hours"] < arrival["hours"]


def test_large_requests_polls_and_memory_are_measured(tmp_path: Path) -> None:
    short = ("--rounds", "1", "--requests", "2", "--posts", "2", "--files", "20")
    measured = lines_of("benchmarks.recalls", str(tmp_path), *short)
    assert len(measured) == 6
    assert all(line["lowest"] <= line["median"] <= line["highest"] for line in measured)
