"""Many recalls in HPSS: in the order of the tapes, in few calls, each once."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.residency import Locality, RecallState, Residency
from pacifica.archiveinterface.backends.hpss.archive import HpssBackendArchive
from pacifica.archiveinterface.exception import BackendUnavailableError, MissingFileError
from tests.backends.hpss.support import FLAVOURS, archive_on, assert_all_is_closed, wait_for_a_hanging_call
from tests.hpss_simulator import Simulator
from tests.support.recalls import tape_service
from tests.support.waiting import await_true

RECALL = 3600  # seconds of the archive's clock
OnTape = Callable[..., list[str]]
each_flavour = pytest.mark.parametrize("flavour", FLAVOURS)


@pytest.fixture
def archive(simulator: Simulator, directory: Path) -> HpssBackendArchive:
    """An empty archive."""
    return archive_on(simulator, directory)


@pytest.fixture
def on_tape(archive: HpssBackendArchive, simulator: Simulator) -> OnTape:
    """Return what leaves files on tape only, *each_volume* on one volume, and returns their ids in a random order."""

    def make(count: int, each_volume: int = 100) -> list[str]:
        simulator.set("files_per_volume", each_volume)
        ids = [str(1000 + number) for number in range(count)]
        for file_id in ids:
            file = archive.file(file_id)
            file.store([b"bytes"], 0)
            simulator.migrate(file.filepath)
            simulator.purge(file.filepath)
        simulator.set("mount_seconds", RECALL)
        random.Random(count).shuffle(ids)
        simulator.forget_calls()
        return ids

    return make


def asked(simulator: Simulator) -> Counter[str]:
    """Count the calls to HPSS but those that ask whether the core server lives."""
    return Counter(call[3] for call in simulator.calls() if call[3] not in ("hpss_PingCore", "hpss_LookupRootCS"))


def told(archive: HpssBackendArchive, ids: list[str]) -> list[Residency]:
    """Return the residency of each file; none may be refused."""
    found = archive.residencies(ids).values()
    answers = [answer for answer in found if isinstance(answer, Residency)]
    assert len(answers) == len(ids)
    return answers


def let_lost_calls_end(simulator: Simulator, function: str, count: int) -> None:
    """Let all *count* calls end, which then are in the log; they must not reach into the next test."""
    simulator.inject()
    await_true(lambda: asked(simulator)[function] == count)


def recalls(archive: HpssBackendArchive, ids: list[str]) -> Counter[RecallState]:
    """Count the files by what is said of their recalls."""
    return Counter(answer.recall for answer in told(archive, ids))


def localities(archive: HpssBackendArchive, ids: list[str]) -> Counter[Locality]:
    """Count the files by where they are."""
    return Counter(answer.locality for answer in told(archive, ids))


@each_flavour
def test_many_files_are_recalled_in_the_order_of_their_tapes(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape
) -> None:
    ids = on_tape(60, each_volume=20)
    simulator.set("drives", 1)
    assert archive.submit_recalls(ids) == dict.fromkeys(ids)
    counters = simulator.counters()
    assert (counters["stages"], counters["mounts"], counters["seek_distance"]) == (60, 3, 60)
    simulator.advance(4 * RECALL)
    assert localities(archive, ids) == {Locality.DISK_AND_TAPE: 60}
    assert_all_is_closed(simulator)


@each_flavour
def test_what_is_under_way_is_not_asked_for_again_by_anybody(
    archive: HpssBackendArchive, simulator: Simulator, directory: Path, on_tape: OnTape
) -> None:
    ids = on_tape(30, each_volume=10)
    other_process = archive_on(simulator, directory)
    assert recalls(archive, ids) == {RecallState.NONE: 30}
    archive.submit_recalls(ids[:20])
    simulator.forget_calls()
    assert sum(state.is_under_way for state in recalls(other_process, ids).elements()) == 20
    other_process.submit_recalls(ids)
    for file_id in ids:
        assert not archive.file(file_id).stage()
    counters = simulator.counters()
    assert (counters["stages"], counters["duplicate_stages"]) == (30, 0)


def test_one_call_recalls_many_files_of_a_volume(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape
) -> None:
    ids = on_tape(250, each_volume=125)
    assert archive.recall_traits.batch == 100
    archive.submit_recalls(ids)
    assert asked(simulator) == {
        "hpss_FileGetXAttributes": 250,
        "hpss_GetBatchAsynchStatus": 4,
        "hpss_StageBatchCallBack": 4,
    }
    sizes = [call[5].split()[0] for call in simulator.calls() if call[3] == "hpss_StageBatchCallBack"]
    assert sizes == ["files=100", "files=25"] * 2


@pytest.mark.parametrize(("flavour", "stage_batch"), [("7.4", 100), ("7.5", 100), ("9.3", 1)])
def test_recalls_are_asked_for_singly_where_there_are_no_batches(
    simulator: Simulator, directory: Path, on_tape: OnTape, stage_batch: int
) -> None:
    archive = archive_on(simulator, directory, {"stage_batch": stage_batch})
    ids = on_tape(5)
    assert archive.recall_traits.batch == 1
    archive.submit_recalls(ids)
    assert asked(simulator)["hpss_StageCallBack"] == 5
    assert recalls(archive, ids) == {RecallState.ACTIVE: 1, RecallState.QUEUED: 4}


@each_flavour
def test_the_residency_of_many_files_is_asked_for_by_one_call_each(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape, flavour: str
) -> None:
    ids = on_tape(50, each_volume=25)
    archive.file("7").store([b"on disk"], 0)
    archive.submit_recalls(ids)
    simulator.forget_calls()
    found = archive.residencies([*ids, "7", "404"])
    assert list(found) == [*ids, "7", "404"]
    assert isinstance(found["404"], MissingFileError)
    counted = asked(simulator)
    assert counted["hpss_FileGetXAttributes"] == 52
    assert counted.total() == 52 + (2 if flavour == "9.3" else 50)


def test_residencies_are_asked_for_at_once_but_not_too_many(
    simulator: Simulator, directory: Path, on_tape: OnTape
) -> None:
    archive = archive_on(simulator, directory, {"metadata_calls": 3})
    ids = on_tape(20)
    simulator.inject("hpss_FileGetXAttributes * hang")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(archive.residencies, ids)
        await_true(lambda: simulator.counters()["hanging"] == 3)
        assert asked(simulator)["hpss_FileGetXAttributes"] == 0  # a call is logged when it ends
        simulator.inject()
        assert all(isinstance(found, Residency) for found in answer.result().values())


@pytest.mark.parametrize("many", [True, False])
def test_a_recall_that_ends_while_it_is_asked_for_is_told_to_have_brought_the_file_to_disk(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape, many: bool
) -> None:
    (file_id,) = on_tape(1)
    archive.submit_recalls([file_id])
    simulator.inject("hpss_GetBatchAsynchStatus * hang")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(
            lambda: archive.residencies([file_id])[file_id] if many else archive.file(file_id).residency()
        )
        wait_for_a_hanging_call(simulator)
        simulator.advance(RECALL + 60)
        simulator.inject()
        found = answer.result()
    assert isinstance(found, Residency)
    assert (found.locality, found.recall) == (Locality.DISK_AND_TAPE, RecallState.NONE)


def test_a_lost_answer_loses_no_other(simulator: Simulator, directory: Path, on_tape: OnTape) -> None:
    archive = archive_on(simulator, directory, {"metadata_timeout": 1})
    ids = on_tape(20)
    path = archive.file(ids[3]).filepath
    simulator.inject(f"hpss_FileGetXAttributes *{path} hang")
    found = archive.residencies(ids)
    let_lost_calls_end(simulator, "hpss_FileGetXAttributes", 2 * len(ids) - 1)
    assert [file_id for file_id in ids if not isinstance(found[file_id], Residency)] == [ids[3]]
    assert isinstance(found[ids[3]], BackendUnavailableError)


@each_flavour
def test_a_file_that_hpss_does_not_recall_now_keeps_no_other_back(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape
) -> None:
    ids = on_tape(5)
    simulator.set("stage_queue", 3)
    answers = archive.submit_recalls([*ids, "404"])
    refused = [file_id for file_id, error in answers.items() if isinstance(error, BackendUnavailableError)]
    assert refused == [file_id for file_id in ids if int(file_id) >= 1003]  # the last on the tape
    assert isinstance(answers["404"], MissingFileError)
    simulator.set("stage_queue", 100)
    assert archive.submit_recalls(ids) == dict.fromkeys(ids)
    assert simulator.counters()["stages"] == 5


def test_a_submission_that_hangs_says_which_files_to_ask_for_again(
    simulator: Simulator, directory: Path, on_tape: OnTape
) -> None:
    archive = archive_on(simulator, directory, {"metadata_timeout": 1})
    ids = on_tape(4, each_volume=1)
    simulator.inject("hpss_StageBatchCallBack * hang times=1")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(archive.submit_recalls, ids)
        wait_for_a_hanging_call(simulator)
        answers = answer.result()
    assert {file_id: bool(error) for file_id, error in answers.items()} == {
        file_id: file_id == "1000" for file_id in ids
    }
    let_lost_calls_end(simulator, "hpss_StageBatchCallBack", 4)


def test_a_submission_ends_though_no_call_does(simulator: Simulator, directory: Path, on_tape: OnTape) -> None:
    archive = archive_on(simulator, directory, {"metadata_timeout": 0.5})
    ids = on_tape(8, each_volume=1)
    simulator.inject("hpss_StageBatchCallBack * hang")
    answers = archive.submit_recalls(ids)
    assert all(isinstance(error, BackendUnavailableError) for error in answers.values())
    hanging = simulator.counters()["hanging"]
    assert hanging < 8  # the last ones were not tried
    let_lost_calls_end(simulator, "hpss_StageBatchCallBack", hanging)


def test_files_whose_volumes_are_not_told_are_recalled_all_the_same(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape
) -> None:
    ids = on_tape(5)
    simulator.inject("hpss_FileGetXAttributes * unplaced")
    for _ in range(2):
        assert archive.submit_recalls(ids) == dict.fromkeys(ids)
    assert recalls(archive, ids) == {RecallState.ACTIVE: 5}
    assert {answer.places for answer in told(archive, ids)} == {()}
    assert (simulator.counters()["stages"], simulator.counters()["duplicate_stages"]) == (5, 0)
    assert_all_is_closed(simulator)


@each_flavour
def test_a_class_of_five_levels_is_recalled_from_its_first_tape(simulator: Simulator, directory: Path) -> None:
    archive = archive_on(simulator, directory, {"cos_id": 2})
    archive.file("7").store([b"bytes"], 0)
    simulator.migrate(archive.file("7").filepath)
    simulator.purge(archive.file("7").filepath)
    assert archive.submit_recalls(["7"]) == {"7": None}
    simulator.advance(60)
    assert localities(archive, ["7"]) == {Locality.DISK_AND_TAPE: 1}


@each_flavour
def test_many_who_ask_for_many_make_one_recall_of_each(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape
) -> None:
    ids = on_tape(12, each_volume=4)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(archive.submit_recalls, [ids] * 8)) == [dict.fromkeys(ids)] * 8
    counters = simulator.counters()
    assert (counters["stages"], counters["duplicate_stages"]) == (12, 0)


def test_a_request_to_the_tape_api_reads_each_tape_once(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape, tmp_path: Path
) -> None:
    paths = [f"/{file_id}" for file_id in on_tape(60, each_volume=20)]
    simulator.set("drives", 1)
    with tape_service(archive, tmp_path) as tape:
        request = tape.stage(*paths)
        await_true(lambda: simulator.counters()["stages"] == 60)
        simulator.advance(4 * RECALL)
        assert {file["state"] for file in tape.ended(request).values()} == {"COMPLETED"}
    counters = simulator.counters()
    assert (counters["stages"], counters["mounts"], counters["seek_distance"]) == (60, 3, 60)
    assert counters["duplicate_stages"] == 0


def test_a_damaged_tape_is_tried_again_and_then_told(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape, tmp_path: Path
) -> None:
    paths = [f"/{file_id}" for file_id in on_tape(10)]
    simulator.damage(archive.file("1004").filepath)
    with tape_service(archive, tmp_path, attempts=2, retry_seconds=0.0) as tape:
        request = tape.stage(*paths)
        await_true(lambda: simulator.counters()["stages"] == 10)
        simulator.advance(2 * RECALL)
        await_true(lambda: simulator.counters()["stages"] == 11)
        simulator.advance(2 * RECALL)
        files = tape.ended(request)
    assert files.pop("/1004")["state"] == "FAILED"
    assert {file["state"] for file in files.values()} == {"COMPLETED"}


def test_a_recall_that_failed_is_told_once(
    archive: HpssBackendArchive, simulator: Simulator, on_tape: OnTape, tmp_path: Path
) -> None:
    (file_id,) = on_tape(1)
    simulator.damage(archive.file(file_id).filepath)
    with tape_service(archive, tmp_path, attempts=1) as tape:
        ask = partial(tape.service.request, "POST", f"/{file_id}")
        assert ask().status_code == 202
        await_true(lambda: simulator.counters()["stages"])
        simulator.advance(2 * RECALL)
        await_true(lambda: ask().status_code == 503)
        assert ask().status_code == 202
        await_true(lambda: simulator.counters()["stages"] == 2)


def test_the_first_place_is_where_a_recall_reads(archive: HpssBackendArchive, simulator: Simulator) -> None:
    simulator.set("files_per_aggregate", 2)
    for file_id in ("7", "8", "9"):
        archive.file(file_id).store([b"bytes"], 0)
        simulator.migrate(archive.file(file_id).filepath)
    places = [answer.places[0] for answer in told(archive, ["7", "8", "9"])]
    assert len({place.volume for place in places}) == 1
    assert [(place.position, place.offset) for place in places] == [(1, 0), (1, 4096), (2, 0)]
