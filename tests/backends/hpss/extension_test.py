"""The extension by itself: each function, its errors, its descriptors and the blocks that it has to free."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.backends.hpss.exercise import (
    CREATE,
    FAILING,
    FAILING_BATCHES,
    LATE,
    READ,
    batch_of,
    create,
    failing_in,
    read,
)
from tests.backends.hpss.support import wait_for_a_hanging_call
from tests.hpss_simulator import Simulator
from tests.support.service import open_files


@pytest.fixture
def path(directory: Path) -> str:
    """The path of a file to be."""
    return f"{directory}/file"


def test_what_is_written_is_read_back(client: Any, path: str) -> None:
    create(client, path)
    assert read(client, path) == b"0123456789"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_written(client: Any, path: str, kind: Any) -> None:
    create(client, path, kind(b"content"))
    assert read(client, path) == b"content"


@pytest.mark.parametrize(
    ("offset", "whence", "position"),
    [(4, os.SEEK_SET, 4), (1 << 40, os.SEEK_SET, 1 << 40), (-3, os.SEEK_END, 7), (0, os.SEEK_END, 10), (2, 1, 2)],
)
def test_seek_takes_offset_then_whence(client: Any, path: str, offset: int, whence: int, position: int) -> None:
    create(client, path)
    descriptor = client.open(path, READ)
    assert descriptor.seek(offset, whence) == position
    buffer = bytearray(20)
    count = descriptor.readinto(buffer)
    descriptor.close()
    assert buffer[:count] == b"0123456789"[position:]


@pytest.mark.parametrize(
    ("code", "number", "name"),
    [
        ("HPSS_ENOENT", errno.ENOENT, "HPSS_ENOENT"),
        ("HPSS_ENOSPACE", errno.ENOSPC, "HPSS_ENOSPACE"),
        ("HPSS_ECONN", errno.ECONNREFUSED, "HPSS_ECONN"),
        ("-111", errno.ECONNREFUSED, "unknown error code"),
        ("HPSS_ENAMETOOLONG", errno.ENAMETOOLONG, "HPSS_ENAMETOOLONG"),
        ("-36", errno.ENAMETOOLONG, "unknown error code"),
        ("HPSS_ENOTEMPTY", errno.ENOTEMPTY, "HPSS_ENOTEMPTY"),
        ("-39", errno.ENOTEMPTY, "unknown error code"),
        ("HPSS_EDQUOT", errno.EDQUOT, "HPSS_EDQUOT"),
        ("-122", errno.EDQUOT, "unknown error code"),
        ("HPSS_ETIMEDOUT", errno.ETIMEDOUT, "HPSS_ETIMEDOUT"),
        ("HPSS_ESTALE", errno.ESTALE, "HPSS_ESTALE"),
        ("HPSS_SEC_ENOT_AUTHORIZED", errno.EACCES, "HPSS_SEC_ENOT_AUTHORIZED"),
        ("-11842", errno.EACCES, "unknown error code"),
        ("HPSS_ENOTALLMOVED", errno.EAGAIN, "HPSS_ENOTALLMOVED"),
        ("-4711", errno.EIO, "unknown error code"),
    ],
)
def test_an_error_tells_all(client: Any, simulator: Simulator, path: str, code: str, number: int, name: str) -> None:
    simulator.inject(f"hpss_Stat * rc={code}")
    with pytest.raises(OSError, match="hpss_Stat") as caught:
        client.stat(path)
    error: Any = caught.value
    assert isinstance(error, client.HPSSError)
    assert (error.errno, error.hpss_name, error.function) == (number, name, "hpss_Stat")
    assert error.hpss_code == error.last_code < 0


@pytest.mark.parametrize("function", FAILING)
def test_a_failing_call_leaks_nothing(client: Any, simulator: Simulator, path: str, function: str) -> None:
    assert_a_failure_leaks_nothing(client, simulator, path, function)


@pytest.mark.parametrize("flavour", ["9.3"])
@pytest.mark.parametrize("function", FAILING_BATCHES)
def test_a_failing_batch_leaks_nothing(client: Any, simulator: Simulator, path: str, function: str) -> None:
    assert_a_failure_leaks_nothing(client, simulator, path, function)


def assert_a_failure_leaks_nothing(client: Any, simulator: Simulator, path: str, function: str) -> None:
    create(client, path)
    client.set_user_attributes(path, [("/hpss/key", "value")])
    simulator.inject(f"{function} * rc=HPSS_EIO")
    for _ in range(3):
        with pytest.raises(client.HPSSError) as caught:
            failing_in(client)[function](client, path)
        assert caught.value.errno == errno.EIO
    simulator.inject()
    counters = simulator.counters()
    assert (counters["open_descriptors"], counters["blocks"]) == (0, 0)
    assert (counters["bad_frees"], counters["bad_descriptors"]) == (0, 0)


def test_a_descriptor_is_closed_once(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    descriptor = client.open(path, READ)
    assert not descriptor.closed
    descriptor.close()
    descriptor.close()
    assert descriptor.closed
    with pytest.raises(ValueError, match="closed"):
        descriptor.readinto(bytearray(1))
    assert simulator.counters()["bad_descriptors"] == 0


def test_a_forgotten_descriptor_is_closed(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    client.open(path, READ)
    assert simulator.counters()["open_descriptors"] == 0


def test_a_close_that_fails_is_not_repeated(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    descriptor = client.open(path, READ)
    simulator.inject("hpss_Close * rc=HPSS_EIO after")
    with pytest.raises(client.HPSSError):
        descriptor.close()
    del descriptor
    assert [call[3] for call in simulator.calls()].count("hpss_Close") == 2  # one of them is create()'s
    assert simulator.counters()["open_descriptors"] == 0


def test_closing_waits_for_a_call_under_way_without_blocking(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    descriptor, buffer = client.open(path, READ), bytearray(10)
    simulator.inject("hpss_Read * hang")
    reading = threading.Thread(target=descriptor.readinto, args=(buffer,))
    reading.start()
    wait_for_a_hanging_call(simulator)
    descriptor.close()
    assert simulator.counters()["open_descriptors"] == 1
    simulator.inject()
    reading.join()
    assert buffer == b"0123456789"
    assert simulator.counters()["open_descriptors"] == 0
    assert simulator.counters()["bad_descriptors"] == 0


def test_a_descriptor_that_a_reset_took_closes_no_other_file(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    lost = client.open(path, READ)
    simulator.inject("hpss_Read * hang")
    reading = threading.Thread(target=lost.readinto, args=(bytearray(10),))
    reading.start()
    wait_for_a_hanging_call(simulator)
    lost.close()
    lost.forget()
    client.reset()
    client.login("hpss", "unix", "keytab", str(simulator.root / "keytab"))
    other, buffer = client.open(path, READ), bytearray(10)  # has the number that was lost
    simulator.inject()
    reading.join()
    assert lost.closed
    del lost
    assert other.readinto(buffer) == 10
    other.close()
    assert simulator.counters()["bad_descriptors"] == 0


def test_an_attribute_in_another_encoding_is_told_as_far_as_it_goes(
    client: Any, simulator: Simulator, path: str
) -> None:
    create(client, path)
    client.set_user_attributes(path, [("/hpss/key", "value")])
    (simulator.root / "failures").write_bytes(b"hpss_UserAttrGetAttrs * text=caf\xe9\n")
    assert client.user_attributes(path, ["/hpss/key"]) == {"/hpss/key": "caf\ufffd"}


def test_a_hanging_call_leaves_other_threads_running(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    simulator.inject("hpss_Stat * hang")
    hanging = threading.Thread(target=client.stat, args=(path,))
    hanging.start()
    wait_for_a_hanging_call(simulator)
    assert client.residency(path)["data_length"] == 10  # would not be reached if the lock were held
    simulator.inject()
    hanging.join()


def test_stat_tells_size_mode_and_whole_seconds(client: Any, path: str) -> None:
    create(client, path)
    client.chmod(path, 0o444)
    for seconds in (0, 1, 1473806059, 2**31, 2**32 - 1):
        client.utime(path, seconds, seconds)
        found = client.stat(path)
        assert (found["size"], found["mode"] & 0o777, found["mtime"]) == (10, 0o444, seconds)


def test_residency_tells_levels_and_volumes(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    simulator.migrate(path)
    found = client.residency(path)
    assert found["is_file"]
    assert found["data_length"] == 10
    media = [(medium, count) for medium, count, _ in found["levels"]]
    assert media == [("disk", 10), ("tape", 10), ("", 0), ("", 0), ("", 0)]
    assert [name[:2] for name, _position, _offset in found["levels"][1][2]] == ["VT", "VT"]
    assert not client.residency(os.path.dirname(path))["is_file"]
    assert simulator.counters()["blocks"] == 0


def test_residency_tells_every_volume_of_a_stripe(client: Any, simulator: Simulator, path: str) -> None:
    descriptor = client.open(path, CREATE, 0o644, 2)
    descriptor.write(b"0123456789")
    descriptor.close()
    simulator.migrate(path)
    volumes = client.residency(path)["levels"][2][2]
    assert len({name for name, _position, _offset in volumes}) == 4  # two virtual volumes of two stripes
    assert len({(position, offset) for _name, position, offset in volumes}) == 1
    assert simulator.counters()["blocks"] == 0


def test_a_hard_link_is_a_file(client: Any, path: str) -> None:
    create(client, path)
    client.link(path, f"{path}-second")
    assert client.residency(path)["is_file"]
    assert client.residency(path)["links"] == 2


def test_user_attributes_are_kept(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    client.set_user_attributes(path, [("/hpss/a", "1"), ("/hpss/b", "two words")])
    assert client.user_attributes(path, ["/hpss/b", "/hpss/a"]) == {"/hpss/a": "1", "/hpss/b": "two words"}
    simulator.inject("hpss_UserAttrGetAttrs * xml")
    assert client.user_attributes(path, ["/hpss/a"]) == {"/hpss/a": "1"}
    simulator.inject("hpss_UserAttrGetAttrs * longer=10000")
    with pytest.raises(client.HPSSError):
        client.user_attributes(path, ["/hpss/a"])
    simulator.inject()
    client.delete_user_attributes(path, ["/hpss/a"])
    with pytest.raises(client.HPSSError) as caught:
        client.user_attributes(path, ["/hpss/a"])
    assert caught.value.errno == errno.ENOENT
    assert simulator.counters()["blocks"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda client, path: client.set_user_attributes(path, [("/hpss/a", 1)]),
        lambda client, path: client.set_user_attributes(path, 7),
        lambda client, path: client.user_attributes(path, ["/hpss/a", None]),
        lambda client, path: client.stage(path, b"short"),
        lambda client, path: client.stage_status(bytes(16), b"short"),
        lambda client, path: client.open(f"{path}\0", READ),
        lambda client, path: client.open(path, READ).readinto(b"read-only"),
        lambda client, path: client.open(path, READ).write("text"),
        lambda client, path: client.open(path, READ).seek(1),
        lambda client, path: client.open(path, READ).forget(1),
        lambda client, path: client.ping_core(b"short"),
        lambda client, path: client.login("hpss", "magic", "keytab", "x"),
        lambda client, path: client.Descriptor(),
    ],
)
def test_a_wrong_argument_never_reaches_hpss(client: Any, simulator: Simulator, path: str, wrong: Any) -> None:
    create(client, path)
    with pytest.raises((TypeError, ValueError, BufferError)):
        wrong(client, path)
    assert simulator.counters()["open_descriptors"] == 0
    assert simulator.counters()["blocks"] == 0


def test_a_recall_is_followed(client: Any, simulator: Simulator, path: str) -> None:
    create(client, path)
    simulator.migrate(path)
    simulator.purge(path)
    simulator.set("mount_seconds", 1000)
    simulator.set("drives", 1)
    request, bitfile = bytes(range(16)), client.residency(path)["bitfile"]
    assert client.stage_status(request, bitfile) == "unknown"
    client.stage(path, request)
    assert client.stage_status(request, bitfile) == "active"
    assert client.stage_status(b"somebody else's.", bitfile) == "unknown"
    create(client, f"{path}2")
    simulator.migrate(f"{path}2")
    simulator.purge(f"{path}2")
    client.stage(f"{path}2", request)
    assert client.stage_status(request, client.residency(f"{path}2")["bitfile"]) == "queued"
    simulator.advance(1001)
    assert client.stage_status(request, bitfile) == "unknown"
    assert client.residency(path)["levels"][0][1] == 10
    assert simulator.counters()["alarms"] == 0


@pytest.mark.parametrize("flavour", ["7.4", "7.5"])
def test_versions_without_batches_say_so(client: Any) -> None:
    assert not client.BATCHES
    assert not hasattr(client, "stage_batch")


@pytest.mark.parametrize("flavour", ["9.3"])
def test_the_recalls_of_a_batch_are_followed(client: Any, simulator: Simulator, path: str) -> None:
    paths = [f"{path}{number}" for number in range(3)]
    for name in paths:
        create(client, name)
        simulator.migrate(name)
    for name in paths[:2]:
        simulator.purge(name)
    simulator.set("mount_seconds", 1000)
    request, bitfiles = bytes(range(16)), [bitfile for bitfile, _, _ in batch_of(client, *paths)]
    assert client.batch_status(request, bitfiles) == ["unknown"] * 3
    unknown = bytes(len(bitfiles[0]))
    outcomes = client.stage_batch(request, [*batch_of(client, *paths), (unknown, 1, 10)])
    assert outcomes[:3] == [None] * 3
    assert isinstance(outcomes[3], client.HPSSError)
    assert (outcomes[3].errno, outcomes[3].function) == (errno.ENOENT, "hpss_StageBatchCallBack")
    assert client.batch_status(request, bitfiles) == ["active", "active", "unknown"]
    assert client.batch_status(b"somebody else's.", bitfiles) == ["unknown"] * 3
    simulator.advance(1001)
    assert client.batch_status(request, bitfiles) == ["unknown"] * 3
    assert [client.residency(name)["levels"][0][1] for name in paths] == [10] * 3
    assert simulator.counters()["alarms"] == 0
    assert_nothing_leaked(simulator)


@pytest.mark.parametrize("flavour", ["9.3"])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda client, _: client.stage_batch(b"short", []),
        lambda client, _: client.stage_batch(bytes(16), 7),
        lambda client, _: client.stage_batch(bytes(16), [(b"short", 1, 10)]),
        lambda client, path: client.stage_batch(bytes(16), [*batch_of(client, path), None]),
        lambda client, _: client.batch_status(b"short", []),
        lambda client, _: client.batch_status(bytes(16), [b"short"]),
        lambda client, _: client.batch_status(bytes(16), [7]),
    ],
)
def test_a_wrong_batch_never_reaches_hpss(client: Any, simulator: Simulator, path: str, wrong: Any) -> None:
    create(client, path)
    with pytest.raises((TypeError, ValueError)):
        wrong(client, path)
    assert not [call for call in simulator.calls() if "Batch" in call[3]]
    assert simulator.counters()["blocks"] == 0


def test_purge_and_migrate_through_the_extension(client: Any, path: str) -> None:
    create(client, path)
    descriptor = client.open(path, os.O_RDWR | os.O_NONBLOCK)
    with pytest.raises(client.HPSSError):
        descriptor.purge(0)  # not on tape yet
    assert descriptor.migrate(0) == 10
    assert descriptor.purge(0) == 10
    descriptor.close()
    assert [count for _, count, _ in client.residency(path)["levels"][:2]] == [0, 10]


def test_the_version_and_configuration_are_told(client: Any, flavour: str) -> None:
    assert "{}.{}".format(*client.VERSION) == flavour
    assert client.build_level().startswith(flavour)
    client.configure(5, 6, 7)
    assert client.configuration() == (5, 6, 7)
    client.umask(0o22)
    assert client.umask(0) == 0o22


def assert_nothing_leaked(simulator: Simulator) -> None:
    counters = simulator.counters()
    assert counters["open_descriptors"] == 0
    assert counters["blocks"] == 0
    assert counters["bad_frees"] == 0
    assert counters["bad_descriptors"] == 0


def test_a_thousand_operations_leak_nothing(client: Any, simulator: Simulator, path: str) -> None:
    simulator.set("log", 0)
    open_before = open_files(simulator.root)
    for number in range(100):
        name = f"{path}{number % 7}"
        create(client, name, b"x" * number)
        simulator.migrate(name)
        client.residency(name)
        client.set_user_attributes(name, [("/hpss/key", str(number))])
        client.user_attributes(name, ["/hpss/key"])
        client.stat(name)
        read(client, name)
        client.listdir(os.path.dirname(name))
        with pytest.raises(client.HPSSError):
            client.open(f"{name}-missing", READ)
        client.unlink(name)
    assert_nothing_leaked(simulator)
    assert open_files(simulator.root) == open_before


def test_hundreds_of_late_failures_leak_nothing(client: Any, simulator: Simulator, path: str) -> None:
    simulator.set("log", 0)
    create(client, path)
    simulator.migrate(path)
    late = [function for function in LATE if function in failing_in(client)]
    for _ in range(20):
        simulator.inject(*(f"{function} * rc=HPSS_EIO after" for function in late), "hpss_Close * rc=HPSS_EIO after")
        for function in late:
            with pytest.raises(client.HPSSError):
                failing_in(client)[function](client, path)
        with pytest.raises(client.HPSSError):
            read(client, path)
        simulator.inject()
        create(client, f"{path}-again")
        client.rename(f"{path}-again", path)
        simulator.migrate(path)
    assert_nothing_leaked(simulator)
