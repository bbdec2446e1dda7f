"""The documented resource in a CherryPy application of somebody else, under the MethodDispatcher."""

import threading
from collections.abc import Iterator
from pathlib import Path

import cheroot.wsgi
import cherrypy
import pytest
import requests

from pacifica.archiveinterface.rest_generator import ArchiveInterfaceGenerator
from tests.support.service import POSIX_FLAT, TIMEOUT


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Where such an application is served, by cheroot as it is."""
    resource = ArchiveInterfaceGenerator(POSIX_FLAT.make(tmp_path / "archive"))
    dispatch = {"/": {"request.dispatch": cherrypy.dispatch.MethodDispatcher()}}
    server = cheroot.wsgi.Server(("127.0.0.1", 0), cherrypy.Application(resource, "", dispatch), numthreads=2)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield f"http://127.0.0.1:{server.bind_addr[1]}"
    server.stop()
    thread.join()


def test_every_verb_works(url: str, tmp_path: Path) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    (tmp_path / "archive" / "upload").write_bytes(b"moved")
    with requests.Session() as session:
        assert session.get(url, timeout=TIMEOUT).json()["message"].endswith("Running")
        assert session.put(f"{url}/7", data=b"a=b", headers=form).json()["total_bytes"] == "3"
        assert session.put(f"{url}/8", data=iter([b"in ", b"chunks"])).status_code == 201
        assert session.patch(f"{url}/9", json={"path": str(tmp_path / "archive" / "upload")}).status_code == 200
        contents = [session.get(f"{url}/{file_id}").content for file_id in (7, 8, 9)]
        assert contents == [b"a=b", b"in chunks", b"moved"]
        assert session.get(f"{url}/7?byte_range=0-1&self=1").content == b"a"
        assert session.head(f"{url}/7").headers["X-Content-Length"] == "3"
        assert session.post(f"{url}/7").json()["message"] == "File was staged"
        assert session.delete(f"{url}/7").status_code == 200


def test_errors_have_our_form(url: str) -> None:
    for answer in (requests.get(f"{url}/7"), requests.request("BREW", f"{url}/7")):
        assert answer.json()["status"].startswith(str(answer.status_code))
        assert answer.json()["traceback"] == ""
