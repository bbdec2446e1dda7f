"""Lists and manifests of an archive: no file is read for them."""

import json
import os
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from tests.support.forked import forked_cmd, forked_cmd_of_bytes, forked_launcher

MOD_TIME = "1473806059"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["names", "tree"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The configuration of an archive with file names, and of one with a tree."""
    path = tmp_path / "config.ini"
    path.write_text(f"[posix]\nuse_id2filename = {request.param == 'tree'}\n")
    return path


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """The directory of the archive."""
    path = tmp_path / "archive"
    path.mkdir()
    return path


@pytest.fixture
def run(prefix: Path, config: Path) -> Run:
    """Return what runs the tool on the archive."""

    def start(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return forked_cmd("--prefix", str(prefix), "-c", str(config), *arguments, text=text)

    return start


@pytest.fixture
def contents(prefix: Path, config: Path) -> dict[str, bytes]:
    """Files that a service has stored, by their ids."""
    contents = {"5": b"five", "12345": b"a longer file", "70000": b""}
    with forked_launcher(prefix, "-c", str(config)) as server:
        for file_id, content in contents.items():
            answer = requests.put(f"{server.url}/{file_id}", data=content, headers={"Last-Modified": MOD_TIME})
            assert answer.status_code == 201
    return contents


def test_every_file_is_listed(run: Run, contents: dict[str, bytes]) -> None:
    ended = run("list", "--json", "--digests")
    assert (ended.returncode, ended.stderr) == (0, "")
    listed = {facts["id"]: facts for facts in map(json.loads, ended.stdout.splitlines())}
    assert listed.keys() == contents.keys()
    for file_id, content in contents.items():
        facts = listed[file_id]
        assert (facts["size"], facts["mtime"], facts["media"]) == (len(content), float(MOD_TIME), "disk")
        assert facts["digests"] == {"sha-256": sha256(content).hexdigest()}


def test_a_list_for_people_has_a_line_for_each_file(run: Run, prefix: Path, contents: dict[str, bytes]) -> None:
    (prefix / "beside").mkdir()
    (prefix / "beside" / "left\nover").write_bytes(b"x")
    lines = run("list").stdout.splitlines()
    assert len(lines) == len(contents) + 1
    [line] = [line.split() for line in lines if line.startswith("12345 ")]
    assert line[:4] == ["12345", "13", "2016-09-13T22:34:19Z", "disk"]
    assert any(line.startswith("- ") and "beside/left\\nover" in line for line in lines)
    assert "sha-256=" not in "".join(lines)
    assert "sha-256=" in run("list", "--digests").stdout


def test_a_manifest_is_one_that_sha256sum_checks(run: Run, prefix: Path, contents: dict[str, bytes]) -> None:
    manifest = run("export").stdout
    checked = subprocess.run(["sha256sum", "--check", "--strict"], cwd=prefix, input=manifest, text=True, check=False)
    assert checked.returncode == 0
    assert len(manifest.splitlines()) == len(contents)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_digests_that_were_lost_come_back_from_a_manifest(
    run: Run, prefix: Path, contents: dict[str, bytes], tmp_path: Path, form: list[str]
) -> None:
    manifest = tmp_path / "manifest"
    manifest.write_text(run("export", *form).stdout)
    for path in filter(Path.is_file, prefix.rglob("*")):
        for name in os.listxattr(path):
            os.removexattr(path, name)
    assert run("export").returncode == 1
    assert run("import", str(manifest)).returncode == 0
    assert run("export", *form).stdout == manifest.read_text()
    assert run("verify").returncode == 0


def test_what_differs_from_a_manifest_is_named(run: Run, contents: dict[str, bytes]) -> None:
    lines = [json.loads(line) for line in run("export", "--json").stdout.splitlines()]
    by_id = {facts["id"]: facts for facts in lines}
    by_id["5"]["digests"]["sha-256"] = "00" * 32
    by_id["12345"]["size"] += 1
    by_id["70000"]["id"] = "404"
    ended = run("import", "-", text="".join(f"{json.dumps(facts)}\n" for facts in lines))
    assert ended.returncode == 1
    said = sorted(line.partition(": ")[2] for line in ended.stderr.splitlines())
    assert said == [
        "12345: the file has 13 bytes, not 14 as the manifest says",
        "404: no such file in the archive",
        "5: the stored sha-256 is not that of the manifest",
    ]


def test_lines_that_are_not_records_are_refused(run: Run, contents: dict[str, bytes]) -> None:
    lines = [
        "nonsense",
        "{}",
        '{"id": "5"}',
        '{"id": "5", "digests": {"sha-256": "00"}}',
        '{"id": "5", "digests": [1]}',
    ]
    ended = run("import", "-", text="\n".join([*lines, "{", ""]))
    assert ended.returncode == 1
    assert [line.partition(": ")[0] for line in ended.stderr.splitlines()] == [f"line {n}" for n in range(1, 7)]


def test_a_manifest_that_cannot_be_read_is_a_wrong_configuration(run: Run) -> None:
    ended = run("import", "/proc/nonexistent")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)


def test_names_of_any_characters_come_back(tmp_path: Path, prefix: Path) -> None:
    names = [b"back\\slash", b"new\nline", b"caf\xe9", "caf\u00e9".encode(), b"  blanks "]
    for name in names:
        Path(os.fsdecode(bytes(prefix) + b"/" + name)).write_bytes(name)
    command = ["--prefix", str(prefix)]
    assert forked_cmd(*command, "verify", "--record").returncode == 0
    for form in ([], ["--json"]):
        exported = forked_cmd_of_bytes(*command, "export", *form)
        assert (exported.returncode, len(exported.stdout.splitlines())) == (0, len(names))
        assert forked_cmd_of_bytes(*command, "import", "-", content=exported.stdout).returncode == 0
        if not form:
            subprocess.run(["sha256sum", "--check"], input=exported.stdout, check=True, cwd=prefix)
