"""Clients of grids: davix and gfal2 look a file up by PROPFIND and HEAD, and announce uploads with ``Expect``."""

import errno
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.forked import forked_launcher
from tests.support.grid import grid, told_by
from tests.support.processes import uwsgi
from tests.support.service import TIMEOUT

CONTENT = os.urandom(3_000_000)
CONFIG = """
[http]
head = standard
[archive]
digests = sha-256 adler32
"""


@pytest.fixture(scope="module", params=[forked_launcher, uwsgi], ids=["launcher", "uWSGI"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service of each kind, set up as WebDAV clients need it, with file 7."""
    home = tmp_path_factory.mktemp("grid")
    (home / "config.ini").write_text(CONFIG)
    (home / "archive").mkdir()
    with request.param(home / "archive", env={"ARCHIVEINTERFACE_CONFIG": str(home / "config.ini")}) as server:
        stored = {"Last-Modified": "2023-11-14T22:13:20Z"}
        assert requests.put(f"{server.url}/7", CONTENT, headers=stored, timeout=TIMEOUT).status_code == 201
        yield server.url


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to upload."""
    place = tmp_path / "source"
    place.write_bytes(CONTENT)
    return place


def test_davix_put(url: str, source: Path) -> None:
    told_by("davix-put", str(source), f"{url}/12345")
    assert requests.get(f"{url}/12345", timeout=TIMEOUT).content == CONTENT


def test_davix_get(url: str, tmp_path: Path) -> None:
    told_by("davix-get", f"{url}/7", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_davix_ls(url: str) -> None:
    assert told_by("davix-ls", f"{url}/7") == f"{url}/7\n"
    assert re.match(rf"-rw\S+ +0 +{len(CONTENT)} ", told_by("davix-ls", "-l", f"{url}/7"))
    assert told_by("davix-ls", f"{url}/") == ""


def test_gfal_stat(url: str) -> None:
    told = told_by("gfal-stat", f"{url}/7")
    assert f"Size: {len(CONTENT)}\tregular file\n" in told
    assert "Modify: 2023-11-14 22:13:20" in told
    assert "Size: 0\tdirectory\n" in told_by("gfal-stat", f"{url}/")


def test_gfal_ls(url: str) -> None:
    assert told_by("gfal-ls", f"{url}/7") == f"{url}/7\n"
    assert re.match(rf"-r\S+ +0 +0 +0 +{len(CONTENT)} Nov 14 ", told_by("gfal-ls", "-l", f"{url}/7"))
    assert told_by("gfal-ls", f"{url}/") == ""


@pytest.mark.parametrize("command", ["gfal-stat", "gfal-ls", "gfal-cat"])
def test_gfal2_tells_a_file_that_does_not_exist(url: str, command: str) -> None:
    ended = grid(command, f"{url}/404")
    assert (ended.returncode, "No such file or directory" in ended.stderr) == (errno.ENOENT, True)


def test_gfal_sum(url: str) -> None:
    assert told_by("gfal-sum", f"{url}/7", "ADLER32") == f"{url}/7 {zlib.adler32(CONTENT):08x}\n"


def test_gfal_copy_to_the_archive(url: str, source: Path) -> None:
    copy = ["gfal-copy", "--checksum", "ADLER32", "--timeout", str(TIMEOUT), f"file://{source}", f"{url}/54321"]
    told_by(*copy, "--force")
    assert requests.get(f"{url}/54321", timeout=TIMEOUT).content == CONTENT
    # Without --force, a file that is there already is kept.
    assert grid(*copy).returncode == errno.EEXIST


def test_gfal_copy_from_the_archive(url: str, tmp_path: Path) -> None:
    told_by("gfal-copy", "--checksum", "ADLER32", "--timeout", str(TIMEOUT), f"{url}/7", f"file://{tmp_path}/copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_gfal_rm(url: str) -> None:
    assert requests.put(f"{url}/8", b"x", timeout=TIMEOUT).status_code == 201
    assert told_by("gfal-rm", f"{url}/8") == f"{url}/8\tDELETED\n"
    assert requests.get(f"{url}/8", timeout=TIMEOUT).status_code == 404
