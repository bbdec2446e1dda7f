"""The benchmark of the S3 backend measures what it names, and notices what is wrong. Speed is no matter here."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.s3.bench_store import BenchStore
from benchmarks.seed import FIRST_NEW_ID
from tests.support.needs import need
from tests.support.processes import UWSGI
from tests.support.seaweedfs import shared_store
from tests.support.service import TIMEOUT

ROOT = Path(__file__).parents[2]
SHORT = ("--rounds", "1", "--seconds", "1", "--clients", "1", "--sizes", "1 KiB", "--warming", "4")
LARGE = ("--mebibytes", "17", "--streams", "1", "--memory", "17")


def test_everybody_is_measured_at_every_work(tmp_path: Path) -> None:
    need("wrk", "curl", "cmp", UWSGI)
    command = [sys.executable, "-m", "benchmarks.s3", str(tmp_path), *SHORT, *LARGE, "--out", str(tmp_path)]
    few = {**os.environ, "PAUSE_MS": "20", "ENOUGH": "20"}
    ended = subprocess.run(command, cwd=ROOT, env=few, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ended.returncode == 0, ended.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert all(record["rate"] > 0 for record in results["rates"])
    assert len(results["memory"]) == 4
    table = (tmp_path / "s3-tables.md").read_text()
    for work, compared in {"1 KiB": "boto3, processes", "17 MiB": "rclone straight"}.items():
        for row in (
            f"| {kind} {work} | 1 | {name} |" for kind in ("GET", "PUT") for name in (compared, "rclone webdav")
        ):
            assert row in table


def test_a_wrong_object_is_noticed(tmp_path: Path) -> None:
    store, content = BenchStore(shared_store()), os.urandom(1024)
    right, wrong = tmp_path / str(FIRST_NEW_ID + 1), tmp_path / str(FIRST_NEW_ID + 2)
    right.write_bytes(content)
    wrong.write_bytes(content[:-1])
    store.put(tmp_path)
    assert store.judge(FIRST_NEW_ID, content) == (1, 1)
    ids = [FIRST_NEW_ID + number for number in (1, 2, 1, 3)]  # the last is missing
    assert store.count_wrong("others/", ids, right) == 2
    store.remove_new(FIRST_NEW_ID)
    assert store.judge(FIRST_NEW_ID, content) == (0, 0)
