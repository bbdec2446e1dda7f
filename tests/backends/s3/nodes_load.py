"""Clients that store, read and remove files through a site whose servers are killed, and know what has to be there."""

import base64
import hashlib
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import requests

from tests.support.service import TIMEOUT
from tests.support.waiting import await_true

CLIENTS = 5
FILES = 6  # of each client
SIZES = [1 << 10, 1 << 16, 1 << 18, 6 << 20, 11 << 20]  # bytes; the two largest in parts
WEIGHTS = [16, 8, 4, 1, 1]
PIECE = 1 << 20  # bytes that are sent at a time when no length is
ABSENT = "absent"
BROKEN = "broken off"
# What a client may see of a failure: it asks again.
FAILURES = {502, 503, 504, BROKEN}


class Tally:
    """Counts the answers, of all clients.

    *repeated* is how often DELETE did not find a file that should have been there: nginx asks a second node when the
    first has failed, perhaps after it has removed the file.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self._answers: Counter[tuple[str, int | str]] = Counter()
        self._good_in_a_row = 0
        self._lock = threading.Lock()

    def note(self, kind: str, status: int | str) -> None:
        """Count an answer."""
        with self._lock:
            self._answers[kind, status] += 1
            self._good_in_a_row = 0 if status in FAILURES else self._good_in_a_row + 1

    def await_more(self, count: int) -> None:
        """Return when *count* more requests have been answered, however."""
        wanted = self._answers.total() + count
        await_true(lambda: self._answers.total() >= wanted)

    def await_good(self, count: int) -> None:
        """Return when *count* requests in a row have been answered as if nothing had happened."""
        self._good_in_a_row = 0
        await_true(lambda: self._good_in_a_row >= count)

    def __str__(self) -> str:
        """Return the numbers by status, and what failed."""
        statuses: Counter[int | str] = Counter()
        for (_, status), count in self._answers.items():
            statuses[status] += count
        failed = [f"{kind} {status}: {count}" for (kind, status), count in self._answers.items() if status in FAILURES]
        return f"{self._answers.total()} requests; {dict(statuses)}; failures: {', '.join(failed) or 'none'}"


class Client:
    """The only one who writes its files, so it knows which contents they may have."""

    def __init__(self, url: str, number: int, tally: Tally) -> None:
        self._url, self._tally = url, tally
        self._random = random.Random(number)
        self._session = requests.Session()
        self._possible: dict[str, set[str]] = {f"{number}{file:02}": {ABSENT} for file in range(FILES)}
        self._stage_requests: dict[str, list[str]] = {}

    def run(self, is_over: threading.Event) -> None:
        """Send one request after the other."""
        actions = [
            self._put,
            self._put,
            self._put,
            self._get,
            self._get,
            self._head,
            self._delete,
            self._post,
            self._stage,
            self._poll,
        ]
        while not is_over.is_set():
            self._random.choice(actions)(self._random.choice(list(self._possible)))

    def check(self) -> None:
        """Compare everything with what was acknowledged, when all servers are well."""
        for file_id in self._possible:
            assert self._get(file_id), file_id
        for request, files in self._stage_requests.items():
            answer = self._ask("GET", f"api/v1/stage/{request}")
            assert answer is not None
            assert answer.status_code == 200, answer.text
            assert sorted(file["path"] for file in answer.json()["files"]) == sorted(files)

    def _put(self, file_id: str) -> None:
        content = os.urandom(*self._random.choices(SIZES, WEIGHTS))
        body = content if self._random.random() < 0.5 else _pieces(content)
        self._note(file_id, self._ask("PUT", file_id, data=body), _digest(content), 201)

    def _delete(self, file_id: str) -> None:
        answer = self._ask("DELETE", file_id)
        if answer is not None and answer.status_code == 404 and ABSENT not in self._possible[file_id]:
            self._tally.repeated += 1
        self._note(file_id, answer, ABSENT, 200, 404)

    def _get(self, file_id: str) -> bool:
        answer = self._ask("GET", file_id)
        if answer is not None:
            self._compare(file_id, answer, _digest(answer.content))
        return answer is not None

    def _head(self, file_id: str) -> None:
        answer = self._ask("HEAD", file_id)
        if answer is not None:
            self._compare(file_id, answer, answer.headers.get("Repr-Digest", "").removeprefix("sha-256="))

    def _post(self, file_id: str) -> None:
        answer = self._ask("POST", file_id)
        if answer is not None:
            self._compare(file_id, answer, "")

    def _stage(self, file_id: str) -> None:
        files = [f"/{other}" for other in self._random.sample(list(self._possible), 3)]
        answer = self._ask("POST", "api/v1/stage", json={"files": [{"path": path} for path in files]})
        if answer is not None:
            assert answer.status_code == 201, answer.text
            self._stage_requests[answer.json()["requestId"]] = files

    def _poll(self, file_id: str) -> None:
        if self._stage_requests:
            request = self._random.choice(list(self._stage_requests))
            answer = self._ask("GET", f"api/v1/stage/{request}")
            assert answer is None or answer.status_code == 200, answer.text

    def _ask(
        self, method: str, path: str, data: bytes | Iterator[bytes] = b"", json: object = None
    ) -> requests.Response | None:
        """Return the answer, None when the site has failed as it may."""
        kind = f"{method} /api" if path.startswith("api/") else method
        try:
            answer = self._session.request(method, f"{self._url}/{path}", data=data, json=json, timeout=TIMEOUT)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            self._tally.note(kind, BROKEN)
            return None
        self._tally.note(kind, answer.status_code)
        assert answer.status_code < 500 or answer.status_code in FAILURES, f"{method} {path}: {answer.text}"
        return None if answer.status_code in FAILURES else answer

    def _note(self, file_id: str, answer: requests.Response | None, state: str, *expected: int) -> None:
        """Note that the file has the *state*; without an *answer* it may have."""
        if answer is None:
            self._possible[file_id] |= {state}
        else:
            assert answer.status_code in expected, answer.text
            self._possible[file_id] = {state}

    def _compare(self, file_id: str, answer: requests.Response, digest: str) -> None:
        """Check that the file may have the content with *digest*, or, without one, that it may be there."""
        assert answer.status_code in (200, 404), answer.text
        possible = self._possible[file_id]
        if answer.status_code == 404:
            assert ABSENT in possible, f"{file_id} is lost"
        elif digest:
            assert digest in possible, f"{file_id} has another content"
        else:
            assert possible != {ABSENT}, f"{file_id} is there again"


class Load:
    """All clients at work."""

    def __init__(self, url: str) -> None:
        self.tally = Tally()
        self._clients = [Client(url, number, self.tally) for number in range(1, CLIENTS + 1)]
        self._working: list[Future[None]] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the clients send requests until the block is left; then raise what one of them has found wrong."""
        is_over = threading.Event()
        with ThreadPoolExecutor(CLIENTS) as threads:
            self._working = [threads.submit(client.run, is_over) for client in self._clients]
            try:
                yield
            finally:
                is_over.set()
        for client in self._working:
            client.result()

    def check(self) -> None:
        """Compare everything that is stored with what was acknowledged."""
        for client in self._clients:
            client.check()


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


def _digest(content: bytes) -> str:
    """Return the SHA-256 as HTTP's Repr-Digest has it."""
    return f":{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
