"""The queue of lines before the thread that writes them."""

import os
import re
import threading
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from pacifica.archiveinterface.logs.writing import QueuedLines

MANY = 12_000  # more lines than may wait


@pytest.fixture
def pipe() -> Iterator[tuple[int, BinaryIO]]:
    """A pipe: the descriptor to write to, and what reads."""
    reading, writing = os.pipe()
    with open(reading, "rb") as reader:
        yield writing, reader


def test_lines_are_written_in_their_order_and_the_last_ones_before_the_end(pipe: tuple[int, BinaryIO]) -> None:
    descriptor, reader = pipe
    lines = QueuedLines(descriptor)
    for number in range(100):
        lines.write(f"{number}\n")
    lines.close()
    os.close(descriptor)
    assert reader.read().split() == [b"%d" % number for number in range(100)]


def test_lines_that_nobody_reads_hold_up_nobody_and_are_counted(
    pipe: tuple[int, BinaryIO], caplog: pytest.LogCaptureFixture
) -> None:
    descriptor, reader = pipe
    lines = QueuedLines(descriptor)
    for number in range(MANY):
        lines.write(f"{number:099}\n")
    written: list[bytes] = []
    reading = threading.Thread(target=lambda: written.extend(reader.read().split()))
    reading.start()
    lines.close()
    os.close(descriptor)
    reading.join()
    numbers = [int(line) for line in written]
    assert numbers == sorted(set(numbers))
    lost = sum(map(int, re.findall(r"the access log lacks (\d+) requests: its lines are not read as", caplog.text)))
    assert 0 < lost == MANY - len(written)


def test_lines_that_cannot_be_written_are_counted(pipe: tuple[int, BinaryIO], caplog: pytest.LogCaptureFixture) -> None:
    descriptor, reader = pipe
    reader.close()
    lines = QueuedLines(descriptor)
    lines.write("lost\n")
    lines.close()
    os.close(descriptor)
    assert "lacks 1 requests" in caplog.text


def test_a_descriptor_that_does_not_block_takes_all_lines(pipe: tuple[int, BinaryIO]) -> None:
    descriptor, reader = pipe
    os.set_blocking(descriptor, False)
    lines = QueuedLines(descriptor)
    for _ in range(5000):
        lines.write("x" * 99 + "\n")
    written: list[bytes] = []
    reading = threading.Thread(target=lambda: written.extend(reader.read().split()))
    reading.start()
    lines.close()
    os.close(descriptor)
    reading.join()
    assert written == [b"x" * 99] * 5000


def test_each_write_is_of_whole_lines_that_a_pipe_keeps_together() -> None:
    reading, writing = os.pipe2(os.O_DIRECT)  # each read returns what one write wrote
    lines = QueuedLines(writing)
    for number in range(70):
        lines.write(f"{number:0{number * 15}}\n")
    lines.close()
    os.close(writing)
    with open(reading, "rb", buffering=0) as packets:
        written = list(iter(lambda: packets.read(1 << 16), b""))
    assert all(len(packet) <= 4096 and packet.endswith(b"\n") for packet in written)
    assert len(b"".join(written).split()) == 70
