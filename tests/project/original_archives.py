"""Archives that release 0.4.2 made, served by this one: ``make test-original`` installs that release for it.

The other tests make such archives themselves: files at the paths of `id2filename`, without digests, mode as it comes.
"""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from pacifica.archiveinterface.__main__ import cmd
from pacifica.archiveinterface.id2filename import id2filename
from tests.support.forked import forked_launcher, refusal_of_main
from tests.support.processes import clean_environment
from tests.support.server_process import wait_until
from tests.support.service import TIMEOUT, free_port

ORIGINAL = Path(__file__).parents[2] / "build/original/bin/pacifica-archiveinterface"
# The original does not start without this file; it is what its documentation shows.
CHERRYPY = """[/]
request.dispatch: cherrypy.dispatch.MethodDispatcher()
tools.response_headers.on: True
tools.response_headers.headers: [('Content-Type', 'application/json')]
"""
CONTENTS = {str(number): f"content of {number}".encode() for number in (0, 5, 39, 255, 256, 12345, 70000, 1 << 40)}
CONTENTS |= {str((1 << 63) - 1): b"the largest id", "4711": b""}
MOVED = "1193046"
MOD_TIME = "1473806059"
OTHER = {"flat": "tree", "tree": "flat"}

Write = Callable[[str], str]


@contextmanager
def original(prefix: Path, config: str, *arguments: str) -> Iterator[str]:
    """Run the original service on the archive, with *config* if any in its environment; give its URL."""
    settings, port = prefix.parent / "cherrypy.ini", free_port()
    settings.write_text(CHERRYPY)
    command = [str(ORIGINAL), "-t", "posix", "-a", "127.0.0.1", "-p", str(port), "--prefix", str(prefix)]
    environment = {**clean_environment(), "HOME": str(prefix.parent)}
    if config:
        environment["ARCHIVEINTERFACE_CONFIG"] = config
    process = subprocess.Popen([*command, "--cherrypy-config", str(settings), *arguments], env=environment)
    try:
        wait_until(lambda: _answers(port), lambda: process.poll() is None, lambda: "its own output says why")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=TIMEOUT).ok
    except requests.ConnectionError:
        return False


def fill(url: str, prefix: Path) -> None:
    """Store files and move one in."""
    for file_id, content in CONTENTS.items():
        headers = {"Last-Modified": MOD_TIME, "Content-Length": str(len(content))}
        assert requests.put(f"{url}/{file_id}", data=content, headers=headers).status_code == 201
    assert requests.post(f"{url}/12345", data=b"").ok
    upload = prefix.parent / "upload"
    upload.write_bytes(b"moved")
    assert requests.patch(f"{url}/{MOVED}", json={"path": str(upload)}).ok


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """The directory of the archive."""
    path = tmp_path / "archive"
    path.mkdir()
    return path


@pytest.fixture
def config(tmp_path: Path) -> Write:
    """Return what writes a config.ini for a layout, in the words that the original understands, too."""

    def write(layout: str) -> str:
        path = tmp_path / f"{layout}.ini"
        path.write_text(f"[posix]\nuse_id2filename = {'true' if layout == 'tree' else 'false'}\n")
        return str(path)

    return write


def assert_served(prefix: Path, config: str) -> None:
    with forked_launcher(prefix, "-c", config) as server:
        for file_id, content in {**CONTENTS, MOVED: b"moved"}.items():
            answer = requests.get(f"{server.url}/{file_id}")
            assert (answer.status_code, answer.content) == (200, content), file_id


@pytest.mark.parametrize("layout", OTHER)
def test_an_archive_of_the_original_is_served_and_gets_digests(
    prefix: Path, config: Write, layout: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with original(prefix, config(layout)) as url:
        fill(url, prefix)
    names = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    ids = [*CONTENTS, MOVED]
    assert names == {id2filename(int(each))[1:] if layout == "tree" else each for each in ids}
    tool = ["--prefix", str(prefix), "-c"]
    assert cmd([*tool, config(layout), "check-layout"]) == 0
    assert cmd([*tool, config(OTHER[layout]), "check-layout"]) == 1
    assert "is a file in the layout" in refusal_of_main("-p", "0", *tool, config(OTHER[layout]))
    assert_served(prefix, config(layout))
    assert cmd([*tool, config(layout), "verify", "--record"]) == 0
    capfd.readouterr()
    assert cmd([*tool, config(layout), "verify"]) == 0
    assert f"{len(ids)} ok" in capfd.readouterr().out
    assert cmd([*tool, config(layout), "convert", "--to", OTHER[layout]]) == 0
    assert_served(prefix, config(OTHER[layout]))
    capfd.readouterr()
    assert cmd([*tool, config(OTHER[layout]), "verify"]) == 0
    assert f"{len(ids)} ok" in capfd.readouterr().out


def test_the_original_ignored_the_option_that_names_the_configuration(prefix: Path, config: Write) -> None:
    with original(prefix, "", "-c", config("tree")) as url:
        fill(url, prefix)
    assert "is a file in the layout flat" in refusal_of_main("-p", "0", "--prefix", str(prefix), "-c", config("tree"))
    assert_served(prefix, config("flat"))


@pytest.mark.parametrize("layout", OTHER)
def test_the_original_serves_what_was_stored_after_the_upgrade(prefix: Path, config: Write, layout: str) -> None:
    with forked_launcher(prefix, "-c", config(layout)) as server:
        assert requests.put(f"{server.url}/12345", data=b"new").status_code == 201
    with original(prefix, config(layout)) as url:
        assert requests.get(f"{url}/12345").content == b"new"
