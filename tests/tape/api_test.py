"""The tape API through HTTP, on an archive whose files are always on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifica.archiveinterface.tape.options import TapeOptions
from tests.support.recalls import TapeClient, tape_service
from tests.support.service import POSIX_TREE

DISCOVERY = "/.well-known/wlcg-tape-rest-api"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def tape(prefix: Path, tmp_path: Path) -> Iterator[TapeClient]:
    """A service with two files."""
    with tape_service(POSIX_TREE.make(prefix), tmp_path) as client:
        for file_id in (5, 12345):
            assert client.service.request("PUT", f"/{file_id}", data=b"content").status_code == 201
        yield client


def test_discovery_tells_the_url_of_the_api_and_its_limits(tape: TapeClient) -> None:
    answer = tape.service.request("GET", DISCOVERY)
    assert answer.status_code == 200
    limits = {"maxFilesPerRequest": 10000, "minPollSeconds": 0.05, "retentionDays": 14}
    endpoint = {"uri": f"{tape.service.url}/api/v1", "version": "v1", "metadata": limits}
    assert answer.json() == {"sitename": "pacifica", "endpoints": [endpoint]}


def test_a_request_is_made_polled_and_ends(tape: TapeClient) -> None:
    answer = tape.ask("POST", "/stage", {"files": [{"path": "/5"}, {"path": "/12345"}]})
    assert answer.status_code == 201
    request = answer.json()["requestId"]
    assert answer.headers["Location"] == f"{tape.service.url}/api/v1/stage/{request}"
    files = tape.ended(request)
    assert list(files) == ["/5", "/12345"]
    for file in files.values():
        assert list(file) == ["path", "state", "startedAt", "finishedAt"]
        assert file["state"] == "COMPLETED"


@pytest.mark.parametrize("path", ["/stage", "/stage/{0}", "/stage/{0}/cancel", "/release/{0}", "/archiveinfo"])
def test_another_method_is_405_and_told_which_there_are(tape: TapeClient, path: str) -> None:
    for slash in ("", "/"):
        answer = tape.ask("PATCH", f"{path.format(UNKNOWN)}{slash}", {})
        assert answer.status_code == 405
        assert {"OPTIONS"} < set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    ("public_url", "uri"),
    [
        ("https://archive.example.org", "https://archive.example.org/api/v1"),
        ("https://example.org:8443/archive", "https://example.org:8443/archive/api/v1"),
    ],
)
def test_a_site_may_say_what_clients_see(prefix: Path, tmp_path: Path, public_url: str, uri: str) -> None:
    options = TapeOptions(sitename="Ada's", public_url=public_url)
    with tape_service(POSIX_TREE.make(prefix), tmp_path, options) as tape:
        found = tape.service.request("GET", f"{DISCOVERY}/").json()
        assert (found["sitename"], found["endpoints"][0]["uri"]) == ("Ada's", uri)
        answer = tape.ask("POST", "/stage/", {"files": [{"path": "/5"}]})
        assert answer.headers["Location"] == f"{uri}/stage/{answer.json()['requestId']}"
