"""The memory of uploads is bounded over all of them, and comes back from clients that fall silent."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from pacifica.archiveinterface.backends.s3.writing.parts import part_size
from tests.backends.s3.faulty_site import LARGE, MIB, PART, PARTS_OF_MEMORY, FaultySite, blocks_of, check_room
from tests.support.service import TIMEOUT, serving
from tests.support.waiting import await_true

UPLOADS = 8
GIB, TIB = 1 << 30, 1 << 40  # bytes


def test_many_uploads_hold_no_more_than_their_memory(site: FaultySite) -> None:
    def store(number: int) -> int:
        return site.hasty.file(str(number)).store(blocks_of(LARGE), 1.0, length=len(LARGE)).filesize

    site.proxy.heal()
    with ThreadPoolExecutor(UPLOADS) as clients:
        assert list(clients.map(store, range(UPLOADS))) == [len(LARGE)] * UPLOADS
    assert site.proxy.calls["UploadPart"] == UPLOADS * -(-len(LARGE) // PART)
    assert PART < site.proxy.most_held <= PARTS_OF_MEMORY * PART
    check_room(site.hasty)


def test_clients_that_fall_silent_do_not_keep_the_memory(site: FaultySite) -> None:
    head = f"PUT /1%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LARGE)}\r\n\r\n"
    with serving(site.hasty, {"global": {"server.socket_timeout": 2}}) as service, ExitStack() as silent:
        for number in range(PARTS_OF_MEMORY):
            client = silent.enter_context(socket.create_connection(("127.0.0.1", service.port), TIMEOUT))
            client.sendall((head % number).encode() + LARGE[: PART + 2 * MIB])
        # Each has sent its first part, and has or waits for memory for the next one.
        await_true(lambda: site.proxy.calls["UploadPart"] == PARTS_OF_MEMORY)
        assert service.request("PUT", "/2", data=LARGE).status_code == 201
    check_room(site.hasty)
    site.check_clean()


def parts_of(length: int, least: int) -> list[int]:
    """Return the sizes of the parts of *length* bytes that come without having been announced."""
    sizes: list[int] = []
    sent = 0
    while sent < length:
        sizes.append(min(part_size(least, sent, None), length - sent))
        sent += sizes[-1]
    return sizes


@pytest.mark.parametrize("least", [5 * MIB, 16 * MIB, GIB])
def test_an_upload_of_unknown_length_has_parts_that_the_store_takes(least: int) -> None:
    sizes = parts_of(5 * TIB, least)
    assert len(sizes) <= 10_000
    assert max(sizes) <= 5 * GIB
    assert min(sizes[:-1]) >= 5 * MIB


def test_parts_stay_small_while_the_file_is_small() -> None:
    assert set(parts_of(GIB, 5 * MIB)) == {5 * MIB, GIB % (5 * MIB)}


@pytest.mark.parametrize(
    ("length", "size"), [(1, 5 * MIB), (TIB, 109_951_163), (5 * TIB, 549_755_814), (48 * TIB, 5_277_655_814)]
)
def test_an_upload_of_known_length_has_equal_parts(length: int, size: int) -> None:
    assert part_size(5 * MIB, 0, length) == part_size(5 * MIB, length // 2, length) == size
    assert -(-length // size) <= 10_000
