"""gfal2's commands bring files from tape, ask where they are, and let them go, on each kind of archive."""

import errno
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.grid import grid, told_by
from tests.support.service import TIMEOUT
from tests.support.waiting import await_true
from tests.tape.sites import Site, hpss_site, hsm_site, posix_site

CONTENT = os.urandom(100_000)
WAITING = ["--polling-timeout", str(TIMEOUT)]


@pytest.fixture(scope="module", params=[posix_site, hpss_site, hsm_site], ids=["POSIX", "HPSS", "Oracle HSM"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service on each kind of archive in turn."""
    with request.param(tmp_path_factory.mktemp("site")) as running:
        yield running


def stored(site: Site, *file_ids: str) -> list[str]:
    """Store files and leave them on tape only, where there is one; return their URLs."""
    for file_id in file_ids:
        assert requests.put(f"{site.url}/{file_id}", CONTENT, timeout=TIMEOUT).status_code == 201
        site.to_tape(file_id)
    return [f"{site.url}/{file_id}" for file_id in file_ids]


def status_of(url: str) -> str:
    """Return where the file is, in gfal2's words."""
    return told_by("gfal-xattr", url, "user.status").strip()


def last_lines(told: str, count: int) -> list[str]:
    """Return what a command that polls said at last of *count* files."""
    return told.splitlines()[-count:]


@pytest.mark.parametrize("site", [posix_site], ids=["POSIX"], indirect=True)
@pytest.mark.parametrize(("name", "value"), [("version", "v1"), ("uri", "{url}/api/v1"), ("sitename", "pacifica")])
def test_the_tape_api_is_discovered(site: Site, name: str, value: str) -> None:
    told = told_by("gfal-xattr", f"{site.url}/1", f"taperestapi.{name}")
    assert told == value.format(url=site.url) + "\n"


def test_a_file_is_brought_online_and_copied(site: Site, tmp_path: Path) -> None:
    [url] = stored(site, "11")
    assert status_of(url) == site.before_recall
    before = site.recalls()
    for _ in range(2):  # the second time, it is there
        assert last_lines(told_by("gfal-bringonline", *WAITING, url), 1) == [f"{url} READY"]
    assert status_of(url) == site.after_recall
    assert f"Size: {len(CONTENT)}\tregular file\n" in told_by("gfal-stat", url)
    assert told_by("gfal-sum", url, "ADLER32") == f"{url} {zlib.adler32(CONTENT):08x}\n"
    told_by("gfal-copy", "--checksum", "ADLER32", url, f"file://{tmp_path}/copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert site.recalls() - before == (1 if site.has_tape else 0)


def test_a_list_of_files_is_brought_online(site: Site, tmp_path: Path) -> None:
    urls = stored(site, "21", "22", "23")
    missing, twice = f"{site.url}/404", f"{site.url}//21"
    (tmp_path / "urls").write_text("\n".join([*urls, missing, twice]))
    before = site.recalls()
    told = told_by("gfal-bringonline", *WAITING, "--from-file", str(tmp_path / "urls"))
    *ready, failed, again = last_lines(told, 5)
    assert [*ready, again] == [f"{url} READY" for url in [*urls, twice]]
    assert failed.startswith(f"{missing} => FAILED: [Tape REST API] ")
    assert site.recalls() - before == (3 if site.has_tape else 0)


def test_a_file_that_does_not_exist_has_no_status(site: Site) -> None:
    assert grid("gfal-xattr", f"{site.url}/404", "user.status").returncode == errno.ENOMSG


def test_a_file_is_evicted(site: Site) -> None:
    pinned, unpinned = stored(site, "31", "32")
    files = [{"path": "/31", "diskLifetime": "P1D"}]
    token = requests.post(f"{site.url}/api/v1/stage", json={"files": files}, timeout=TIMEOUT).json()["requestId"]
    for url in (pinned, unpinned):
        told_by("gfal-bringonline", *WAITING, url)
        told_by("gfal-evict", url)
    await_true(lambda: status_of(unpinned) == site.before_recall)
    assert status_of(pinned) == site.after_recall
    told_by("gfal-evict", pinned, token)
    await_true(lambda: status_of(pinned) == site.before_recall)


def test_the_archiving_of_files_is_polled(site: Site, tmp_path: Path) -> None:
    urls = stored(site, "41", "42")
    (tmp_path / "urls").write_text("\n".join([*urls, f"{site.url}/404"]))
    *archived, failed = told_by("gfal-archivepoll", "--from-file", str(tmp_path / "urls")).splitlines()
    assert archived == [f"{url} {'READY' if site.has_tape else 'QUEUED'}" for url in urls]
    assert failed.startswith(f"{site.url}/404 => FAILED: [Tape REST API] ")
