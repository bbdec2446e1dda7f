"""The simulator by itself: levels, blocking, classes of service, and many processes on one archive."""

import errno
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.backends.hpss.support import (
    FLAVOURS,
    PROJECT,
    TIMEOUT,
    WARNINGS,
    library_of,
    prefix_of,
    wait_for_a_hanging_call,
)
from tests.hpss_simulator import Simulator, SimulatorError

RDONLY, NONBLOCK = os.O_RDONLY, os.O_NONBLOCK
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL


@pytest.fixture
def path(client: Any, directory: Path) -> str:
    """A file of ten bytes."""
    path = f"{directory}/file"
    create(client, path)
    return path


def create(client: Any, path: str, cos_id: int = 0, content: bytes = b"0123456789") -> None:
    descriptor = client.open(path, CREATE, 0o644, cos_id)
    descriptor.write(content)
    descriptor.close()


def to_tape(simulator: Simulator, path: str) -> None:
    simulator.migrate(path)
    simulator.purge(path)
    simulator.set("mount_seconds", 3600)


def pass_the_mount(simulator: Simulator, call: Callable[[], Any], results: list[Any]) -> None:
    """See that *call*, which adds to *results*, ends only when the archive's clock has passed the mount of the tape."""
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    assert results == []
    while thread.is_alive():
        simulator.advance(4000)
        thread.join(0.05)
    assert len(results) == 1


def read(client: Any, path: str, flags: int) -> bytes:
    descriptor, buffer = client.open(path, flags), bytearray(100)
    count = descriptor.readinto(buffer)
    descriptor.close()
    return bytes(buffer[:count])


def test_only_what_is_on_tape_can_be_purged(simulator: Simulator, path: str) -> None:
    with pytest.raises(SimulatorError, match="EPERM"):
        simulator.purge(path)
    simulator.migrate(path)
    simulator.purge(path)
    shown = simulator.show(path)
    assert (shown["level0"], shown["level1"]) == ("disk 0", "tape 10")


@pytest.mark.parametrize("flavour", ["9.3"])
def test_migrating_never_copies_less_over_more(client: Any, simulator: Simulator, path: str) -> None:
    to_tape(simulator, path)
    with pytest.raises(SimulatorError, match="EINVAL"):
        simulator.migrate(path)
    descriptor = client.open(path, os.O_RDWR | NONBLOCK)
    with pytest.raises(client.HPSSError):
        descriptor.migrate(0)
    descriptor.close()
    assert simulator.show(path)["level1"] == "tape 10"


@pytest.mark.parametrize(
    ("cos_id", "flags", "blocks"),
    [(1, RDONLY, True), (1, RDONLY | NONBLOCK, False), (5, RDONLY, False), (7, RDONLY, False)],
)
def test_opening_waits_as_the_class_of_service_says(
    client: Any, simulator: Simulator, directory: Path, cos_id: int, flags: int, blocks: bool
) -> None:
    path = f"{directory}/other"
    create(client, path, cos_id)
    to_tape(simulator, path)
    if blocks:
        pass_the_mount(simulator, lambda: client.open(path, flags), [])
    else:
        assert client.open(path, flags)  # nobody moves the clock: it would wait for an hour


def test_opening_in_the_background_says_that_it_is_in_progress(
    client: Any, simulator: Simulator, directory: Path
) -> None:
    path = f"{directory}/other"
    create(client, path, 6)
    to_tape(simulator, path)
    with pytest.raises(client.HPSSError) as caught:
        client.open(path, RDONLY)
    assert caught.value.errno == errno.EINPROGRESS
    simulator.advance(4000)
    assert read(client, path, RDONLY) == b"0123456789"


def test_a_file_opened_without_staging_is_read_from_tape(client: Any, simulator: Simulator, path: str) -> None:
    to_tape(simulator, path)
    found: list[bytes] = []
    pass_the_mount(simulator, lambda: read(client, path, RDONLY | NONBLOCK), found)
    assert found == [b"0123456789"]
    assert simulator.show(path)["level0"] == "disk 0"


def test_a_damaged_tape_fails_where_it_is_damaged(client: Any, simulator: Simulator, path: str) -> None:
    simulator.migrate(path)
    simulator.purge(path)
    simulator.damage(path, 4)
    descriptor, buffer = client.open(path, RDONLY | NONBLOCK), bytearray(100)
    assert descriptor.readinto(buffer) == 4
    with pytest.raises(client.HPSSError) as caught:
        descriptor.readinto(buffer)
    assert caught.value.errno == errno.EIO


def test_a_write_makes_the_tape_copy_stale(client: Any, simulator: Simulator, path: str) -> None:
    simulator.migrate(path)
    descriptor = client.open(path, os.O_RDWR)
    descriptor.write(b"changed")
    descriptor.close()
    assert simulator.show(path)["level1"] == "tape 0"
    with pytest.raises(SimulatorError):
        simulator.purge(path)


def test_drives_are_few_and_recalls_queue(client: Any, simulator: Simulator, directory: Path) -> None:
    simulator.set("drives", 2)
    simulator.set("files_per_volume", 1)
    paths = [f"{directory}/{number}" for number in range(4)]
    for path in paths:
        create(client, path)
        to_tape(simulator, path)
        client.stage(path, b"0123456789abcdef")
    assert [simulator.show(path)["stage"] for path in paths] == ["active", "active", "queued", "queued"]
    simulator.advance(3601)
    assert [simulator.show(path)["stage"] for path in paths] == ["none", "none", "active", "active"]


@pytest.mark.parametrize(("cos_id", "first"), [(2, "disk"), (3, "tape"), (4, "disk")])
def test_classes_of_service_differ(client: Any, simulator: Simulator, directory: Path, cos_id: int, first: str) -> None:
    path = f"{directory}/other"
    create(client, path, cos_id)
    assert client.residency(path)["levels"][0][:2] == (first, 10)
    assert client.residency(path)["cos_id"] == cos_id


# As GridFTP's module for HPSS does it: one id for the callback, by which the recall is followed.
CLIENT = r"""
#include <stdio.h>
#include <string.h>
#include <hpss_api.h>
#if HPSS_MAJOR_VERSION == 7 && HPSS_MINOR_VERSION <= 4
#define hpss_GetAsyncStatus hpss_GetAsynchStatus
typedef hpssoid_t bitfile_t;
#else
typedef bfs_bitfile_obj_handle_t bitfile_t;
#endif
static int state(hpss_reqid_t id, bitfile_t *bitfile) {
    int32_t status = 0;
    return hpss_GetAsyncStatus(id, bitfile, &status) != 0 ? -1 : status == HPSS_STAGE_STATUS_ACTIVE;
}
int main(int count, char **args) {
    bfs_callback_addr_t callback = {0};
    hpss_reqid_t id, given;
    bitfile_t bitfile;
    (void)count;
    memset(&id, 7, sizeof id);
    memset(&given, 9, sizeof given);
    memset(&bitfile, 9, sizeof bitfile);
    callback.id = id;
    int login = hpss_SetLoginCred("hpss", hpss_authn_mech_unix, hpss_rpc_cred_client, hpss_rpc_auth_type_keytab,
                                  args[2]);
    int asked = hpss_StageCallBack(args[1], 0, 0, 0, &callback, BFS_STAGE_ALL, &given, &bitfile);
    int by_callback = state(id, &bitfile), by_request = state(given, &bitfile);
    printf("%d %d %d %d %d\n", login, asked, memcmp(&given, &id, sizeof id) != 0, by_callback, by_request);
    return 0;
}
"""


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_recall_is_known_by_the_id_of_its_callback(
    simulator: Simulator, flavour: str, path: str, tmp_path: Path
) -> None:
    to_tape(simulator, path)
    source, program, library = tmp_path / "client.c", tmp_path / "client", library_of(flavour)
    source.write_text(CLIENT)
    command = [
        "cc",
        *WARNINGS.split(),
        f"-I{prefix_of(flavour)}/include",
        str(source),
        str(library),
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True)
    environment = {"LD_LIBRARY_PATH": str(library.parent), "HPSS_SIM_ROOT": str(simulator.root), "HPSS_SIM_NAMES": "/"}
    run = [str(program), path, str(simulator.root / "keytab")]
    ended = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
    assert ended.stdout == "0 0 1 1 0\n"


def test_failures_are_limited_as_their_line_says(client: Any, simulator: Simulator, path: str) -> None:
    simulator.inject("hpss_Stat */file rc=HPSS_EIO skip=1 times=2")
    outcomes = []
    for _ in range(5):
        try:
            client.stat(path)
            outcomes.append(True)
        except client.HPSSError:
            outcomes.append(False)
    assert outcomes == [True, False, False, True, True]


def test_a_failure_may_last_for_a_time(client: Any, simulator: Simulator, path: str) -> None:
    simulator.inject("hpss_Stat * rc=HPSS_EIO for=100")
    with pytest.raises(client.HPSSError):
        client.stat(path)
    simulator.advance(101)
    assert client.stat(path)["size"] == 10


@contextmanager
def hanging(simulator: Simulator, call: Callable[[], Any]) -> Iterator[threading.Thread]:
    """Let *call* hang, as a failure says, until the block's end."""
    thread = threading.Thread(target=call)
    thread.start()
    wait_for_a_hanging_call(simulator)
    try:
        yield thread
    finally:
        simulator.inject()
        thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_a_core_server_that_hangs_holds_what_asks_it(client: Any, simulator: Simulator, path: str) -> None:
    simulator.inject("core * hang")
    with hanging(simulator, lambda: client.stat(path)):
        assert client.build_level().startswith("9.3")


def test_a_core_server_hangs_for_a_time(client: Any, simulator: Simulator, path: str) -> None:
    simulator.inject("core * hang for=100")
    with hanging(simulator, lambda: client.stat(path)) as thread:
        simulator.advance(101)
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_one_call_of_many_hangs(client: Any, simulator: Simulator, path: str) -> None:
    simulator.inject("hpss_Stat * hang times=1")
    with hanging(simulator, lambda: client.stat(path)) as thread:
        for _ in range(3):
            assert client.stat(path)["size"] == 10
        assert thread.is_alive()


def test_a_reply_is_lost_after_the_work_is_done(client: Any, simulator: Simulator, directory: Path) -> None:
    simulator.inject("hpss_Mkdir * after hang")
    with hanging(simulator, lambda: client.mkdir(f"{directory}/new", 0o755)):
        assert (directory / "new").is_dir()
    simulator.inject("hpss_Mkdir * after rc=HPSS_ECONN")
    with pytest.raises(client.HPSSError) as caught:
        client.mkdir(f"{directory}/other", 0o755)
    assert caught.value.hpss_code == -50
    assert (directory / "other").is_dir()


@pytest.mark.parametrize(("setting", "value"), [("credential_calls", 3), ("credential_seconds", 50)])
def test_credentials_run_out(client: Any, simulator: Simulator, path: str, setting: str, value: int) -> None:
    client.login("hpss", "unix", "keytab", str(simulator.root / "keytab"))
    simulator.set(setting, value)
    for _ in range(2):
        client.stat(path)
    simulator.advance(51)
    client_stats = iter(lambda: client.stat(path), None)
    with pytest.raises(client.HPSSError) as caught:
        list(itertools.islice(client_stats, 5))
    assert caught.value.errno == errno.EACCES


def test_a_call_before_login_is_told_and_fails(client: Any, simulator: Simulator, path: str) -> None:
    client.purge_login()
    with pytest.raises(client.HPSSError):
        client.stat(path)
    assert simulator.counters()["calls_before_login"] > 0


def test_descriptors_run_out(client: Any, simulator: Simulator, path: str) -> None:
    simulator.set("open_max", 3)
    held = [client.open(path, RDONLY) for _ in range(3)]
    with pytest.raises(client.HPSSError) as caught:
        client.open(path, RDONLY)
    assert caught.value.errno == errno.EMFILE
    assert len(held) == 3


def test_processes_share_one_archive(client: Any, simulator: Simulator, flavour: str, path: str) -> None:
    def control(*arguments: str) -> str:
        command = [sys.executable, "-m", "tests.hpss_simulator", arguments[0], str(prefix_of(flavour))]
        command += [*arguments[1:], "--root", str(simulator.root), "--names", "/"]
        return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout

    control("migrate", path)
    control("purge", path)
    assert client.residency(path)["levels"][0][1] == 0
    control("set", "mount_seconds", "1000")
    client.stage(path, b"0123456789abcdef")
    assert "stage=active" in control("show", path)
    control("advance", "1001")
    assert client.residency(path)["levels"][0][1] == 10
    assert "open_descriptors=0" in control("counters")
    control("inject", "hpss_Stat * rc=HPSS_EIO")
    with pytest.raises(client.HPSSError):
        client.stat(path)
    control("inject")
    control("damage", path, "3")
    control("expire")
    with pytest.raises(client.HPSSError):
        client.stat(path)


def test_a_plain_file_put_among_the_names_becomes_a_file(client: Any, simulator: Simulator, directory: Path) -> None:
    (directory / "upload").write_bytes(b"put there")
    assert client.stat(f"{directory}/upload")["size"] == 9
    assert read(client, f"{directory}/upload", RDONLY) == b"put there"
    assert sorted(client.listdir(str(directory))) == ["upload"]
