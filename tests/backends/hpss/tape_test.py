"""Disk, tape and the way back, through HTTP."""

import base64
import hashlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.hpss.file import HpssFile
from pacifica.archiveinterface.backends.hpss.options import HpssOptions
from pacifica.archiveinterface.exception import ConfigurationError, ConflictError
from tests.backends.hpss.conftest import ServeHpss
from tests.backends.hpss.support import archive_on, assert_all_is_closed, client_of, wait_for_a_hanging_call
from tests.hpss_simulator import Simulator
from tests.support.service import Service

CONTENT = os.urandom(300_000)
RECALL = 3600  # seconds of the archive's clock


def path_of(service: Service, file_id: str = "12345") -> str:
    return service.archive.file(file_id).filepath


def send_to_tape(service: Service, simulator: Simulator, content: bytes = CONTENT, file_id: str = "12345") -> None:
    """Store a file, and leave it on a tape that takes an hour to mount."""
    assert service.request("PUT", f"/{file_id}", data=content).status_code == 201
    simulator.migrate(path_of(service, file_id))
    simulator.purge(path_of(service, file_id))
    simulator.set("mount_seconds", RECALL)


def medium(service: Service, file_id: str = "12345") -> str:
    return service.request("HEAD", f"/{file_id}").headers["X-Pacifica-File-Storage-Media"]


def functions(simulator: Simulator) -> list[str]:
    return [call[3] for call in simulator.calls()]


def test_a_file_goes_to_tape_and_comes_back(hpss_service: Service, simulator: Simulator) -> None:
    send_to_tape(hpss_service, simulator)
    head = hpss_service.request("HEAD", "/12345")
    assert head.headers["X-Pacifica-File-Storage-Media"] == "tape"
    assert head.headers["X-Pacifica-Bytes-Per-Level"] == f"(0, {len(CONTENT)})"
    asked = hpss_service.request("POST", "/12345")
    assert (asked.status_code, asked.json()["message"]) == (202, "File is being staged")
    assert int(asked.headers["Retry-After"]) > 0
    assert medium(hpss_service) == "tape"
    simulator.advance(RECALL + 60)
    assert medium(hpss_service) == "disk"
    assert hpss_service.request("POST", "/12345").status_code == 200
    assert hpss_service.request("GET", "/12345").content == CONTENT
    assert simulator.counters()["stages"] == 1


def test_status_neither_opens_nor_recalls_nor_waits(hpss_service: Service, simulator: Simulator) -> None:
    send_to_tape(hpss_service, simulator)
    hpss_service.request("POST", "/12345")
    simulator.forget_calls()
    for _ in range(5):
        assert medium(hpss_service) == "tape"  # the recall under way would hold a blocking call up for an hour
    assert set(functions(simulator)) <= {
        "hpss_GetAsyncStatus",
        "hpss_GetAsynchStatus",
        "hpss_GetBatchAsynchStatus",
        "hpss_Stat",
        "hpss_FileGetXAttributes",
        "hpss_UserAttrGetAttrs",
        "hpss_PingCore",
    }


def test_head_tells_of_a_recall_that_is_under_way(hpss_service: Service, simulator: Simulator) -> None:
    send_to_tape(hpss_service, simulator)
    assert "X-Pacifica-Recall" not in hpss_service.request("HEAD", "/12345").headers
    hpss_service.request("POST", "/12345")
    assert hpss_service.request("HEAD", "/12345").headers["X-Pacifica-Recall"] in ("queued", "active")
    simulator.advance(RECALL + 60)
    assert "X-Pacifica-Recall" not in hpss_service.request("HEAD", "/12345").headers


@pytest.mark.parametrize("flavour", ["9.3"])
def test_one_get_asks_for_the_metadata_once(hpss_service: Service, simulator: Simulator) -> None:
    hpss_service.request("PUT", "/12345", data=CONTENT)
    simulator.forget_calls()
    assert hpss_service.request("GET", "/12345").content == CONTENT
    asked = Counter(functions(simulator))
    del asked["hpss_Read"], asked["hpss_PingCore"], asked["hpss_Close"]
    # The second look tells whether another process has replaced the file before it was opened.
    assert asked == {
        "hpss_Stat": 1,
        "hpss_FileGetXAttributes": 2,
        "hpss_UserAttrGetAttrs": 1,
        "hpss_Open": 1,
    }


def test_nothing_is_asked_for_twice(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    services = [serve_hpss(), serve_hpss()]
    send_to_tape(services[0], simulator)
    for service in services * 3:
        assert service.request("POST", "/12345").status_code == 202
        assert service.request("GET", "/12345").status_code == 503
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: services[0].request("POST", "/12345").status_code, range(32))
        assert set(answers) == {202}
    counters = simulator.counters()
    assert (counters["stages"], counters["duplicate_stages"], counters["alarms"]) == (1, 0, 0)


def test_reading_from_tape_asks_for_the_recall_and_says_so(hpss_service: Service, simulator: Simulator) -> None:
    send_to_tape(hpss_service, simulator)
    answer = hpss_service.request("GET", "/12345")
    assert answer.status_code == 503
    assert "staged" in answer.json()["message"]
    assert int(answer.headers["Retry-After"]) > 0
    assert simulator.counters()["stages"] == 1
    simulator.advance(RECALL + 60)
    assert hpss_service.request("GET", "/12345").content == CONTENT


def test_reading_waits_for_the_recall_where_the_site_wants_it(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss(archive=ArchiveOptions(offline_read="wait"))
    send_to_tape(service, simulator)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.request, "GET", "/12345")
        while not simulator.counters()["stages"]:
            assert not answer.done()
        assert medium(service) == "tape"
        simulator.advance(RECALL + 60)
        assert answer.result().content == CONTENT


def test_waiting_for_a_recall_ends(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"stage_timeout": 0}, archive=ArchiveOptions(offline_read="wait"))
    send_to_tape(service, simulator)
    assert service.request("GET", "/12345").status_code == 503


def test_a_file_that_comes_to_disk_each_time_is_recalled_each_time(hpss_service: Service, simulator: Simulator) -> None:
    send_to_tape(hpss_service, simulator)
    for _ in range(5):
        assert hpss_service.request("POST", "/12345").status_code == 202
        simulator.advance(RECALL + 60)
        assert medium(hpss_service) == "disk"  # as clients look: they ask once, and then by HEAD
        simulator.purge(path_of(hpss_service))


def test_a_recall_that_failed_is_asked_for_again(hpss_service: Service, simulator: Simulator) -> None:
    send_to_tape(hpss_service, simulator)
    simulator.damage(path_of(hpss_service), 1000)
    for attempt in range(1, 6):
        assert hpss_service.request("POST", "/12345").status_code == 202
        assert simulator.counters()["stages"] == attempt
        simulator.advance(RECALL + 60)
        assert medium(hpss_service) == "tape"


@pytest.mark.parametrize("failure", ["lost", "fraction=0.5"])
def test_a_recall_that_is_lost_or_partial_is_asked_for_anew(
    hpss_service: Service, simulator: Simulator, failure: str
) -> None:
    send_to_tape(hpss_service, simulator)
    simulator.inject(f"hpss_Stage*CallBack * {failure} times=1")
    assert hpss_service.request("POST", "/12345").status_code == 202
    simulator.advance(RECALL + 60)
    assert medium(hpss_service) == "tape"
    assert hpss_service.request("GET", "/12345").status_code == 503
    simulator.advance(RECALL + 60)
    assert medium(hpss_service) == "disk"
    assert hpss_service.request("GET", "/12345").content == CONTENT


@pytest.mark.parametrize("flavour", ["7.4", "9.3"])
@pytest.mark.parametrize(
    ("place", "told"), [(None, "address=0 port=0"), (("127.0.0.1", 7777), "address=0x7f000001 port=7777")]
)
def test_a_recall_names_the_address_that_the_site_wants(
    serve_hpss: ServeHpss, simulator: Simulator, place: tuple[str, int] | None, told: str
) -> None:
    service = serve_hpss({"callback_address": place})
    send_to_tape(service, simulator)
    assert service.request("POST", "/12345").status_code == 202
    (asked,) = (call for call in simulator.calls() if call[3] in ("hpss_StageCallBack", "hpss_StageBatchCallBack"))
    assert asked[5].endswith(told)


@pytest.mark.parametrize("flavour", ["9.3"])
def test_an_address_that_cannot_be_found_is_told_at_the_start(simulator: Simulator, directory: Path) -> None:
    with pytest.raises(ConfigurationError, match="callback_address"):
        archive_on(simulator, directory, {"callback_address": ("host..example", 7777)})


def test_a_full_queue_of_recalls_is_503(hpss_service: Service, simulator: Simulator) -> None:
    send_to_tape(hpss_service, simulator)
    send_to_tape(hpss_service, simulator, b"other", "7")
    simulator.set("stage_queue", 1)
    assert hpss_service.request("POST", "/12345").status_code == 202
    assert hpss_service.request("POST", "/7").status_code == 503
    simulator.advance(RECALL + 60)
    assert hpss_service.request("POST", "/7").status_code == 202


def test_a_file_of_a_tape_class_is_read_as_it_is(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"cos_id": 3})
    assert service.request("PUT", "/12345", data=CONTENT).status_code == 201
    assert medium(service) == "disk"  # sic: cartd waits for this word
    assert service.request("POST", "/12345").status_code == 200
    assert service.request("GET", "/12345").content == CONTENT
    assert simulator.counters()["stages"] == 0


@pytest.mark.parametrize("flavour", ["9.3"])
def test_the_places_on_tape_are_told(hpss_service: Service, simulator: Simulator) -> None:
    for file_id in ("7", "80"):
        send_to_tape(hpss_service, simulator, CONTENT, file_id)
    places = [hpss_service.archive.file(file_id).status().places for file_id in ("7", "80")]
    assert [len(of_file) for of_file in places] == [2, 2]
    assert sorted(places, reverse=True) == places[::-1]  # the second lies behind the first
    volume, position, offset = places[0][0]
    assert volume.startswith("VT")
    assert position > 0
    assert offset >= 0


@pytest.mark.parametrize("flavour", ["9.3"])
def test_sending_a_file_to_tape_twice_is_refused_and_loses_nothing(
    hpss_service: Service, simulator: Simulator, directory: Path
) -> None:
    send_to_tape(hpss_service, simulator)
    file = hpss_service.archive.file("12345")
    assert isinstance(file, HpssFile)
    with pytest.raises(ConflictError, match="on tape already"):
        file.send_to_tape()
    assert simulator.show(path_of(hpss_service))["level1"] == f"tape {len(CONTENT)}"
    assert not {"hpss_Migrate", "hpss_Purge"} & set(functions(simulator))
    hpss_service.request("POST", "/12345")
    simulator.advance(RECALL + 60)
    assert hpss_service.request("GET", "/12345").content == CONTENT


def test_five_levels_are_told(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"cos_id": 2})
    send_to_tape(service, simulator, b"five")
    head = service.request("HEAD", "/12345")
    assert head.headers["X-Pacifica-Bytes-Per-Level"] == "(0, 0, 4, 4, 4)"
    assert head.headers["X-Pacifica-File-Storage-Media"] == "tape"


def test_a_file_with_a_hole_is_on_disk(hpss_service: Service, simulator: Simulator, flavour: str) -> None:
    hpss_service.request("PUT", "/7", data=b"")
    path, client = path_of(hpss_service, "7"), client_of(flavour)
    client.chmod(path, 0o644)
    descriptor = client.open(path, os.O_RDWR)
    descriptor.seek(1_000_000, os.SEEK_SET)
    descriptor.write(b"end")
    descriptor.close()
    simulator.migrate(path)
    head = hpss_service.request("HEAD", "/7").headers
    assert (head["X-Content-Length"], head["X-Pacifica-Bytes-Per-Level"]) == ("1000003", "(3, 3)")
    assert head["X-Pacifica-File-Storage-Media"] == "disk"
    assert hpss_service.request("GET", "/7").content == bytes(1_000_000) + b"end"


def test_the_same_bytes_are_known_without_a_recall(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss(archive=ArchiveOptions(overwrite="refuse"))
    send_to_tape(service, simulator)
    assert service.request("PUT", "/12345", data=CONTENT).status_code == 201
    assert service.request("PUT", "/12345", data=CONTENT[::-1]).status_code == 409
    assert medium(service) == "tape"
    assert simulator.counters()["stages"] == 0


@pytest.mark.parametrize("flavour", ["9.3"])
def test_a_checksum_that_a_moved_file_brought_along_stands_for_no_bytes(
    serve_hpss: ServeHpss, directory: Path, flavour: str
) -> None:
    service = serve_hpss(archive=ArchiveOptions(overwrite="refuse"))
    service.request("PUT", "/7", data=b"")  # logs the extension in
    (directory / "incoming").write_bytes(b"old")
    forged = {"algorithm": "md5", "checksum": hashlib.md5(b"new").hexdigest(), "state": "Valid", "filesize": "3"}
    names = [(f"/hpss/user/cksum/{name}", value) for name, value in forged.items()]
    client_of(flavour).set_user_attributes(f"{directory}/incoming", names)
    assert service.request("PATCH", "/9", json={"path": f"{directory}/incoming"}).status_code == 200
    assert service.request("PUT", "/9", data=b"new").status_code == 409
    assert service.request("GET", "/9").content == b"old"
    assert service.request("PUT", "/9", data=b"old").status_code == 201


@pytest.mark.parametrize("flavour", ["9.3"])
def test_a_file_that_could_not_be_moved_keeps_its_notes(
    hpss_service: Service, simulator: Simulator, directory: Path, flavour: str
) -> None:
    hpss_service.request("PUT", "/7", data=b"content")
    source, forged = f"{directory}/incoming", f"sha-256={'00' * 32}"
    (directory / "incoming").write_bytes(b"x")
    client_of(flavour).set_user_attributes(source, [("/hpss/pacifica/notes", forged)])
    simulator.inject("hpss_Rename * rc=HPSS_ECONN")
    assert hpss_service.request("PATCH", "/9", json={"path": source}).status_code == 503
    simulator.inject("hpss_UserAttrDeleteAttrs * rc=HPSS_ECONN")
    assert hpss_service.request("PATCH", "/9", json={"path": source}).status_code == 503
    simulator.inject("hpss_Rename * rc=HPSS_EXDEV times=1")
    assert simulator.show(source)["/hpss/pacifica/notes"] == forged
    assert hpss_service.request("PATCH", "/9", json={"path": source}).status_code == 200
    digest = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    assert digest in hpss_service.request("HEAD", "/9").headers["Repr-Digest"]  # of the copy, as it was made


def test_checksums_are_where_hsi_and_gridftp_look(hpss_service: Service, simulator: Simulator) -> None:
    hpss_service.request("PUT", "/12345", data=CONTENT)
    shown = simulator.show(path_of(hpss_service))
    kept = {key.removeprefix("/hpss/user/cksum/"): value for key, value in shown.items() if "/cksum/" in key}
    assert int(kept.pop("lastupdate")) > 0
    assert kept == {
        "algorithm": "md5",
        "checksum": hashlib.md5(CONTENT).hexdigest(),
        "errors": "0",
        "state": "Valid",
        "app": "pacifica",
        "filesize": str(len(CONTENT)),
    }


def test_class_and_family_of_new_files_are_the_site_s(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"cos_id": 5, "family_id": 77})
    service.request("PUT", "/7", data=b"x")
    shown = simulator.show(path_of(service, "7"))
    assert (shown["cos"], shown["family"]) == ("5", "77")


def test_a_class_that_hpss_does_not_have_is_told(serve_hpss: ServeHpss) -> None:
    assert serve_hpss({"cos_id": 15}).request("PUT", "/7", data=b"x").status_code == 413


def test_bytes_travel_in_large_blocks(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"io_block_size": 1 << 20})
    content = os.urandom(3 << 20)
    service.request("PUT", "/7", data=content)
    assert service.request("GET", "/7").content == content
    assert functions(simulator).count("hpss_Write") == 3
    assert functions(simulator).count("hpss_Read") == 3


def test_a_range_is_read_where_it_is(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss()
    service.request("PUT", "/7", data=CONTENT)
    answer = service.request("GET", "/7", headers={"Range": "bytes=200000-200099"})
    assert answer.content == CONTENT[200_000:200_100]
    assert functions(simulator).count("hpss_Read") == 1


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "PATCH"])
def test_what_is_being_read_is_never_removed_under_its_reader(
    hpss_service: Service, simulator: Simulator, directory: Path, verb: str
) -> None:
    simulator.set("abort_on_unlink", 1)  # as the library was seen to do
    hpss_service.request("PUT", "/7", data=CONTENT)
    hpss_service.request("PUT", "/80", data=b"other")
    reader = hpss_service.archive.open("7", "r")
    start = reader.read(1000)
    body = {"data": b"new"} if verb == "PUT" else {"json": {"path": path_of(hpss_service, "80")}}
    assert hpss_service.request(verb, "/7", **({} if verb == "DELETE" else body)).status_code < 300
    rest = b"".join(iter(lambda: reader.read(50_000), b""))
    reader.close()
    assert start + rest == CONTENT
    assert hpss_service.request("GET", "/7").status_code == (404 if verb == "DELETE" else 200)
    assert simulator.counters()["unlinked_open"] == 0
    assert list((directory / ".partial").iterdir()) == []
    assert_all_is_closed(simulator)


@pytest.mark.parametrize("flavour", ["9.3"])
def test_thirty_two_clients_at_once(hpss_service: Service, simulator: Simulator) -> None:
    def life_of(number: int) -> bool:
        content, path = os.urandom(70_000 + number), f"/{1000 + number}"
        good = hpss_service.request("PUT", path, data=content).status_code == 201
        for _ in range(2):
            good = good and hpss_service.request("GET", path).content == content
            good = good and hpss_service.request("HEAD", path).headers["X-Content-Length"] == str(len(content))
            content = content[::-1]
            good = good and hpss_service.request("PUT", path, data=content).status_code == 201
        good = good and hpss_service.request("POST", path).status_code == 200
        return good and hpss_service.request("DELETE", path).status_code == 200

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(life_of, range(32)))
    assert_all_is_closed(simulator)
    not_counted = ("hpss_BuildLevelString", "hpss_LookupRootCS", "hpss_PingCore")
    threads = {call[2] for call in simulator.calls() if call[3] not in not_counted}
    options = HpssOptions()
    assert len(threads) <= options.calls + options.metadata_calls + 1  # and one to log in


def test_transfers_do_not_slow_the_sign_of_life(
    serve_hpss: ServeHpss, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.archiveinterface.backends.hpss.calls.session.PING_PERIOD", 0.0)
    service = serve_hpss({"calls": 1})
    service.request("PUT", "/7", data=CONTENT)
    simulator.inject("hpss_Read * hang")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(service.request, "GET", "/7")
        wait_for_a_hanging_call(simulator)
        simulator.forget_calls()
        assert service.request("HEAD", "/7").status_code == 204
        assert "hpss_PingCore" in functions(simulator)
        assert not reading.done()
        simulator.inject()
        assert reading.result().content == CONTENT


@pytest.mark.parametrize("flavour", ["9.3"])
def test_five_hundred_operations_leak_nothing(hpss_service: Service, simulator: Simulator) -> None:
    simulator.set("log", 0)
    archive = hpss_service.archive
    for number in range(50):
        with archive.open("7", "w", length=3) as file:
            file.write(b"abc")
            file.set_mod_time(number)
            file.set_file_permissions()
        for _ in range(5):
            archive.file("7").status()
        with archive.open("7", "r") as file:
            assert file.read(10) == b"abc"
        archive.file("7").stage()
        archive.patch("80", archive.file("7").filepath)
        archive.file("80").remove()
    assert_all_is_closed(simulator)
