"""Digests in headers, computed and compared."""

import base64
import hashlib
import os
import subprocess
import sys
import threading
import time
import zlib
from typing import cast

import pytest
from cherrypy.lib.httputil import HeaderMap
from hypothesis import given
from hypothesis import strategies as st

from pacifica.archiveinterface import digests
from pacifica.archiveinterface.backends.conformance import fails_with
from pacifica.archiveinterface.digests import Hasher
from pacifica.archiveinterface.exception import DigestError, DigestMismatchError, RequestError, StorageError
from pacifica.archiveinterface.http.headers import digest_fields
from tests.support.service import TIMEOUT


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


CONTENT = b"the bytes of a file"
SHA256 = hashlib.sha256(CONTENT).digest()
MD5 = hashlib.md5(CONTENT).digest()
SHA1 = hashlib.sha1(CONTENT).digest()
ADLER = zlib.adler32(CONTENT).to_bytes(4, "big")


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_blocks_are_hashed_like_the_whole(blocks: list[bytes]) -> None:
    hasher = digests.Hasher(["sha-256", "sha-512", "sha", "md5", "adler32"])
    for block in blocks:
        hasher.update(block)
    whole = b"".join(blocks)
    assert hasher.digests() == {
        "sha-512": hashlib.sha512(whole).digest(),
        "sha-256": hashlib.sha256(whole).digest(),
        "sha": hashlib.sha1(whole).digest(),
        "md5": hashlib.md5(whole).digest(),
        "adler32": zlib.adler32(whole).to_bytes(4, "big"),
    }


def test_large_blocks_are_hashed_in_order() -> None:
    blocks = [os.urandom(300_000) for _ in range(20)]
    hasher = digests.Hasher(["sha-256"])
    for block in blocks:
        hasher.update(block)
    assert hasher.digests()["sha-256"] == hashlib.sha256(b"".join(blocks)).digest()


def test_a_hash_that_fails_is_told_and_keeps_nobody_waiting() -> None:
    hasher = Hasher(["sha-256"])
    hasher.update(cast(bytes, "text is not hashed" * 10_000))
    with pytest.raises(StorageError):
        hasher.digests()
    with pytest.raises(StorageError):
        hasher.update(b"x" * 100_000)


@pytest.fixture
def own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash on threads that start within the test."""
    pool = digests._Pool()
    monkeypatch.setattr(digests, "_pool", lambda pid: pool)


def hashing_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "hashing"}


@pytest.mark.usefixtures("own_threads")
def test_no_more_threads_hash_than_there_are_processors_and_none_keeps_the_process_alive() -> None:
    before = hashing_threads()
    for _ in range(3 * (os.cpu_count() or 1)):
        hasher = Hasher(["sha-256"])
        hasher.update(bytes(100_000))
        assert hasher.digests() == {"sha-256": hashlib.sha256(bytes(100_000)).digest()}
    started = hashing_threads() - before
    assert len(started) == os.cpu_count()
    assert all(thread.daemon for thread in started)


@pytest.mark.usefixtures("own_threads")
def test_the_caller_hashes_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "hashing":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    before = hashing_threads()
    blocks = [os.urandom(100_000) for _ in range(5)]
    hasher = Hasher(["sha-256"])
    assert list(hasher.hashed(blocks)) == blocks
    assert hasher.digests() == {"sha-256": hashlib.sha256(b"".join(blocks)).digest()}
    assert hashing_threads() == before


@pytest.mark.usefixtures("own_threads")
def test_uploads_are_hashed_after_more_failures_than_there_are_threads() -> None:
    for _ in range((os.cpu_count() or 1) + 1):
        hasher = Hasher(["sha-256"])
        hasher.update(cast(bytes, "text is not hashed" * 10_000))
        with fails_with(StorageError):
            hasher.digests()
    hasher = Hasher(["sha-256"])
    hasher.update(bytes(100_000))
    assert hasher.digests() == {"sha-256": hashlib.sha256(bytes(100_000)).digest()}


class SlowHash:
    """A hash that takes its time for each large block."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def update(self, block: bytes) -> None:
        """Take the next block."""
        if len(block) > 1000:
            time.sleep(0.01)
        self.blocks.append(block)

    def digest(self) -> bytes:
        """Return nothing."""
        return b""


@pytest.fixture
def slow_hash(monkeypatch: pytest.MonkeyPatch) -> SlowHash:
    """What every hasher hashes with."""
    slow = SlowHash()
    monkeypatch.setattr(digests, "_make", lambda name: slow)
    return slow


def test_a_small_block_is_hashed_after_the_large_ones_before_it(slow_hash: SlowHash) -> None:
    hasher = Hasher(["md5"])
    blocks = [bytes(100_000), b"small", bytes(100_001), b"smaller"]
    for block in blocks:
        hasher.update(block)
    assert hasher.digests() == {"md5": b""}
    assert slow_hash.blocks == blocks


def test_a_hasher_holds_two_blocks_and_no_more(slow_hash: SlowHash) -> None:
    held = []
    hasher = Hasher(["md5"])
    for number in range(20):
        hasher.update(bytes(100_000))
        held.append(number + 1 - len(slow_hash.blocks))
    hasher.digests()
    assert max(held) == digests.BLOCKS_HELD
    assert len(slow_hash.blocks) == 20


def test_many_more_uploads_than_threads_are_hashed() -> None:
    hashers = [Hasher(["sha-256"]) for _ in range(20)]
    for _ in range(5):
        for hasher in hashers:
            hasher.update(b"x" * 100_000)
    expected = hashlib.sha256(b"x" * 500_000).digest()
    assert [hasher.digests() for hasher in hashers] == [{"sha-256": expected}] * 20


def test_crc32c_is_castagnoli_s() -> None:
    hasher = digests.Hasher(["crc32c"])
    hasher.update(b"123456789")
    assert hasher.digests()["crc32c"].hex() == "e3069283"  # RFC 3720, B.4 and its like


@pytest.mark.parametrize(
    ("header", "text", "expected"),
    [
        ("Content-Digest", f"sha-256=:{b64(SHA256)}:", {"sha-256": SHA256}),
        ("Repr-Digest", f"sha-256=:{b64(SHA256)}:, md5=:{b64(MD5)}:;x=y", {"sha-256": SHA256, "md5": MD5}),
        ("Repr-Digest", f"adler=:{b64(ADLER)}:,unixsum=:AAA=:", {"adler32": ADLER}),
        ("Digest", f"SHA-256={b64(SHA256)},md5={b64(MD5)}", {"sha-256": SHA256, "md5": MD5}),
        ("Digest", f"adler32={ADLER.hex()}", {"adler32": ADLER}),
        ("Digest", f"sha={b64(SHA1)}", {"sha": SHA1}),
        ("Digest", f"sha1={SHA1.hex()}", {"sha": SHA1}),  # as Pacifica's metadata write it
        ("Digest", "crc64nvme=abc", {}),
        ("Content-MD5", b64(MD5), {"md5": MD5}),
    ],
)
def test_announced_digests_are_read(header: str, text: str, expected: dict[str, bytes]) -> None:
    assert digest_fields.announced_digests({header: text}) == expected


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Content-Digest", "sha-256"),
        ("Content-Digest", f"sha-256={b64(SHA256)}"),
        ("Content-Digest", "sha-256=:AAAA:"),
        ("Repr-Digest", "sha-256=:!!!!:"),
        ("Repr-Digest", f"sha-256=:{b64(SHA256)}:,"),
        ("Digest", "sha-256"),
        ("Digest", "sha-256=nonsense"),
        ("Digest", f"adler32={'g' * 8}"),
        ("Digest", "adler32=!"),
        ("Content-MD5", "nonsense"),
        ("Content-MD5", b64(SHA256)),
        ("Content-MD5", f"!{b64(MD5)}"),
        ("Digest", "md5="),
        ("Digest", f"={b64(MD5)}"),
    ],
)
def test_a_malformed_announcement_is_refused(header: str, text: str) -> None:
    with fails_with(DigestError):
        digest_fields.announced_digests({header: text})


def test_announcements_that_disagree_are_refused() -> None:
    with fails_with(DigestError):
        digest_fields.announced_digests({"Content-MD5": b64(MD5), "Digest": f"md5={b64(bytes(16))}"})


@given(st.sampled_from(["Content-Digest", "Repr-Digest", "Digest", "Content-MD5"]), st.text(max_size=60))
def test_any_announcement_is_read_or_refused(header: str, text: str) -> None:
    try:
        digest_fields.announced_digests({header: text})
    except RequestError:
        return


@given(st.dictionaries(st.sampled_from(["sha-256", "sha", "md5", "adler32"]), st.binary(max_size=40)))
def test_what_is_written_is_read_again(values: dict[str, bytes]) -> None:
    lengths = {"sha-256": 32, "sha": 20, "md5": 16, "adler32": 4}
    known = {name: value.ljust(lengths[name], b"\0")[: lengths[name]] for name, value in values.items()}
    assert digest_fields.announced_digests({"Repr-Digest": digest_fields.repr_digest(known)}) == known
    wanted = ", ".join(known)
    assert digest_fields.announced_digests({"Digest": digest_fields.digest(known, wanted)}) == known


def test_only_what_is_wanted_is_told() -> None:
    known = {"sha-256": SHA256, "md5": MD5, "adler32": ADLER}
    assert digest_fields.repr_digest(known, "md5=3, sha-256=0") == f"md5=:{b64(MD5)}:"
    both = [f"sha-256=:{b64(SHA256)}:", f"md5=:{b64(MD5)}:"]
    assert digest_fields.repr_digest(known, "md5=3, sha-256=10") == ", ".join(both)
    assert digest_fields.repr_digest(known, "sha-256=9, md5=10") == ", ".join(reversed(both))
    assert digest_fields.repr_digest(known, "nonsense, =, md5=1, sha-256") == both[1]
    assert digest_fields.repr_digest(known, "unixsum=3").count(", ") == 2
    assert digest_fields.digest(known, "ADLER32") == f"adler32={ADLER.hex()}"
    assert digest_fields.digest(known, "ADLER32;q=0.5, md5;q=0, sha;q=1") == f"adler32={ADLER.hex()}"
    assert digest_fields.digest(known, "SHA256") == f"sha256={b64(SHA256)}"
    assert digest_fields.digest(known, "sha-512") == ""


def test_a_mismatch_names_the_algorithm() -> None:
    with pytest.raises(DigestMismatchError, match="md5"):
        digests.check({"md5": bytes(16)}, {"md5": MD5})
    digests.check({}, {"md5": MD5})


def test_a_digest_is_found_in_cherrypy_s_mapping_of_headers() -> None:
    headers = HeaderMap()
    headers["CONTENT-MD5"] = b64(MD5)
    assert digest_fields.announced_digests(headers) == {"md5": MD5}


# In each new process, threads hash their first blocks at the same time.
_BEGINNING_TOGETHER = """
import os, signal, threading
from pacifica.archiveinterface.digests import Hasher

def hash_blocks(together):
    hasher = Hasher(["sha-256"])
    together.wait()
    for _ in range(8):
        hasher.update(bytes(1 << 17))
    hasher.digests()

for _ in range(100):
    child = os.fork()
    if not child:
        signal.alarm(60)
        together = threading.Barrier(8)
        threads = [threading.Thread(target=hash_blocks, args=(together,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_uploads_that_begin_together_in_a_new_process_are_hashed() -> None:
    assert subprocess.run([sys.executable, "-c", _BEGINNING_TOGETHER], timeout=TIMEOUT, check=False).returncode == 0
