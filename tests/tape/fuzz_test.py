"""Whatever the body and the path are, the answer is one of the documented ones and has the right shape."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.recalls import TapeClient, tape_service
from tests.support.service import POSIX_TREE, TIMEOUT, check_error

NAMES = ["files", "paths", "path", "diskLifetime", "targetedMetadata", "default", "pacifica", "activity"]
TEXTS = st.one_of(
    st.sampled_from(["/5", "//5/", "/77", "/a/b", "/..", "", "/\0", "PT1H", "P1D", "P", "\ud800"]),
    st.text(st.characters(exclude_categories=[])),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
KEYS = st.one_of(st.sampled_from(NAMES), TEXTS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner)), max_leaves=8
)


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return *good*, or now and then anything else."""
    return st.one_of(good, good, good, VALUES)


ADDRESSEES = st.sampled_from(["default", "pacifica", "x"])
METADATA = st.dictionaries(ADDRESSEES, mostly(st.fixed_dictionaries({"activity": TEXTS})))
FILE = st.fixed_dictionaries(
    {"path": mostly(TEXTS)}, optional={"diskLifetime": mostly(TEXTS), "targetedMetadata": mostly(METADATA), "x": VALUES}
)
BODIES = mostly(
    st.fixed_dictionaries(
        {}, optional={"files": mostly(st.lists(mostly(FILE))), "paths": mostly(st.lists(mostly(TEXTS))), "x": VALUES}
    )
)
SENT = st.one_of(
    BODIES.map(lambda body: json.dumps(body).encode()),
    st.tuples(BODIES, st.integers(0, 200), st.binary(max_size=3)).map(lambda parts: _broken(*parts)),
    st.binary(max_size=40),
)
IDS = st.sampled_from(
    ["{0}", "00000000-0000-4000-8000-000000000000", "gfal2-placeholder-id", "%00", "%FF%FE", "*", "a%2Fb"]
)
ANSWERED = {
    "/stage": {201, 400, 413},
    "/archiveinfo": {200, 400, 413},
    "/release/{0}": {200, 400, 404, 413},
    "/stage/{0}/cancel": {200, 400, 404, 413},
}
STATES = {"COMPLETED", "FAILED"}  # without tape nothing waits


def _broken(body: Any, place: int, piece: bytes) -> bytes:
    sent = json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")
    return sent[:place] + piece + sent[place + 1 :]


class Sender:
    """Sends requests to one service, over one connection."""

    def __init__(self, tape: TapeClient) -> None:
        self.url = f"{tape.service.url}/api/v1"
        self.request = tape.stage("/5", "/77", "/x")
        self._session = requests.Session()

    def send(self, method: str, path: str, body: bytes = b"") -> requests.Response:
        """Return the answer, whose error has to be of the right shape."""
        sent = self._session.request(
            method, self.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=TIMEOUT
        )
        if sent.status_code >= 400:
            assert sent.headers["Content-Type"] == "application/problem+json"
            check_error(sent)
        return sent


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    """A service with a file."""
    home = tmp_path_factory.mktemp("tape")
    with tape_service(POSIX_TREE.make(home / "archive"), home, most_files=20) as tape:
        assert tape.service.request("PUT", "/5", data=b"content").status_code == 201
        yield Sender(tape)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(call=st.sampled_from(list(ANSWERED)), request_id=IDS, body=SENT)
def test_any_body_has_a_documented_answer(sender: Sender, call: str, request_id: str, body: bytes) -> None:
    answer = sender.send("POST", call.format(request_id.format(sender.request)), body)
    assert answer.status_code in ANSWERED[call]
    if call == "/stage" and answer.status_code == 201:
        asked = {file["path"] for file in json.loads(body)["files"]}
        polled = sender.send("GET", f"/stage/{answer.json()['requestId']}")
        assert polled.status_code == 200
        files = polled.json()["files"]
        assert {file["path"] for file in files} == asked
        assert len(files) == len(asked)
        for file in files:
            assert file["state"] in STATES
            assert ("error" in file) == (file["state"] == "FAILED")
            assert isinstance(file.get("error", ""), str)
    elif call == "/archiveinfo" and answer.status_code == 200:
        for file in answer.json():
            assert list(file) in (["path", "locality"], ["path", "error"])
    elif answer.status_code == 200:
        assert answer.content == b""


PIECES = st.one_of(
    st.sampled_from(["", "stage", "release", "archiveinfo", "cancel", "*", "..", ".", "%2e%2e", "%00", "%ff", "{0}"]),
    st.text(st.sampled_from("abc019-_~!$&'()*+,;=:@"), max_size=8),
)
QUERIES = st.one_of(st.just(""), st.text(st.sampled_from("since=&019.-+%ex;"), max_size=12).map("?since={}".format))


@settings(max_examples=200)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]),
    pieces=st.lists(PIECES, max_size=5),
    query=QUERIES,
)
def test_any_path_has_a_documented_answer(sender: Sender, method: str, pieces: list[str], query: str) -> None:
    path = "/".join(["", *pieces]).format(sender.request)
    if method == "DELETE":
        path = path.replace(sender.request, "x")
    prepared = requests.Request(method, sender.url).prepare()
    prepared.url = sender.url + path + query
    with requests.Session() as session:
        answer = session.send(prepared, timeout=TIMEOUT, allow_redirects=False)
    assert answer.status_code in {200, 400, 404, 405, 415}
    if answer.status_code >= 400 and method != "HEAD":
        check_error(answer)
