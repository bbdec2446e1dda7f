"""Any call to the store may fail: what a client was told is so, whatever it was.

S3_FAULT_ROUNDS says how many requests are made; ``make test-s3-faults`` makes thousands.
"""

import os
from collections.abc import Callable
from random import Random

import pytest

from pacifica.archiveinterface.backends.abstract.precondition import ABSENT
from pacifica.archiveinterface.exception import (
    BackendUnavailableError,
    MissingFileError,
    PreconditionError,
)
from tests.backends.s3.faulty_site import FILE, LARGE, MIB, SMALL, FaultySite, check_room, store_in
from tests.support.s3_faults import cut_answer, cut_request, lose_answer, refuse, refuse_afterwards
from tests.support.s3_proxy import Call, Fault

ROUNDS = int(os.getenv("S3_FAULT_ROUNDS", "24"))
SPOILED = 0.12  # of all calls
Content = bytes | None


class Client:
    """A client that makes random requests for one file; *content* is what the file has, None for no file."""

    def __init__(self, site: FaultySite, random: Random) -> None:
        self._site, self._random = site, random
        self.content: Content = None
        self._wanted: Content = None  # by the latest request

    def request(self) -> None:
        """Make a request, and fail if its answer is not true."""
        deed: Callable[[], Content] = self._random.choice(
            [self._put, self._put, self._put_new, self._get, self._remove]
        )
        before = self.content
        try:
            allowed = [deed()]
        except BackendUnavailableError:
            allowed = [before, self._wanted]
        except PreconditionError:
            assert before is not None
            allowed = [before]
        except MissingFileError:
            assert before is None
            allowed = [before]
        self.content = self._stored()
        assert self.content in allowed

    def _put(self) -> Content:
        self._wanted = content = self._new_content()
        store_in(self._site.hasty, content)
        return content

    def _put_new(self) -> Content:
        self._wanted = content = self._new_content()
        store_in(self._site.hasty, content, ABSENT)
        assert self.content is None
        return content

    def _get(self) -> Content:
        self._wanted = self.content
        with self._site.hasty.file(FILE).open_reader() as reader:
            return b"".join(iter(lambda: reader.read(MIB), b""))

    def _remove(self) -> Content:
        self._wanted = None
        self._site.hasty.file(FILE).remove()
        return None

    def _new_content(self) -> bytes:
        return self._random.randbytes(8) + self._random.choice([SMALL, LARGE])

    def _stored(self) -> Content:
        """Return what the store has, once its digests are compared."""
        try:
            with self._site.direct.file(FILE).open_reader() as reader:
                content = b"".join(iter(lambda: reader.read(MIB), b""))
        except MissingFileError:
            return None
        self._site.check_stored(content)
        return content


@pytest.mark.parametrize("seed", range(-(-ROUNDS // 100)))
def test_no_answer_is_untrue_whatever_fails(seed: int, site: FaultySite) -> None:
    random = Random(seed)
    faults: list[Callable[[], Fault]] = [
        lambda: cut_request(random.randrange(MIB)),
        lambda: cut_answer(random.randrange(MIB)),
        lambda: lose_answer,
        lambda: refuse(503, "SlowDown"),
        lambda: refuse_afterwards(500, "InternalError"),
    ]
    site.proxy.spoil_by_chance(lambda: random.choice(faults)() if random.random() < SPOILED else Call.forward)
    client = Client(site, random)
    for _ in range(min(ROUNDS, 100)):
        client.request()
    site.proxy.heal()
    check_room(site.hasty)
    site.sweep()
    assert site.uploads() == []
