"""Requests and the files in them: asked for, joined, cancelled, released, removed."""

import pytest

from pacifica.archiveinterface.exception import (
    BackendUnavailableError,
    ConflictError,
    MissingFileError,
    MissingRequestError,
    RequestError,
)
from pacifica.archiveinterface.recalls.requests import Wish
from tests.recalls.conftest import Open, on_sqlite
from tests.support.recall_site import Site, wishes
from tests.support.tape import Tape


def test_files_are_recalled_once_and_told_to_be_on_disk(site: Site, tape: Tape) -> None:
    tape.add("1", "2", "3", volume="A")
    request = site.submit("1", "2", "3")
    assert set(site.states(request).values()) == {"SUBMITTED"}
    site.work()
    assert set(site.states(request).values()) == {"STARTED"}
    tape.run()
    site.work()
    assert site.states(request) == {"1": "COMPLETED", "2": "COMPLETED", "3": "COMPLETED"}
    assert tape.recalls == {"1": 1, "2": 1, "3": 1}


def test_the_times_of_a_request_are_those_of_what_happened(site: Site, tape: Tape) -> None:
    tape.add("1", "2", volume="A")
    before = site.clock.time()
    request = site.submit("1", "2")
    first = site.service.progress(request)
    assert before <= first.created_at == first.started_at
    assert (first.completed_at, first.files[0].started_at, first.files[0].finished_at) == (None, None, None)
    site.work()
    started = site.service.progress(request)
    assert started.completed_at is None
    assert before <= (started.files[0].started_at or 0) == started.started_at
    site.clock.go_on(100)
    tape.run()
    site.work()
    last = site.service.progress(request)
    assert (last.completed_at or 0) >= started.started_at + 100
    assert last.completed_at == max(file.finished_at or 0 for file in last.files)


@on_sqlite
def test_a_file_that_is_on_disk_is_completed_at_once(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A")
    tape.put_online("1")
    request = site.submit("1")
    site.work()
    assert site.states(request) == {"1": "COMPLETED"}
    assert tape.recalls == {}


@on_sqlite
def test_a_file_that_is_not_there_fails_by_itself(site: Site, tape: Tape) -> None:
    tape.add("1", "2", volume="A")
    tape.lose_copies("2")
    bad = Wish("/a/b", None, error="a path has one segment")
    request = site.service.submit([*wishes("1", "2", "404"), bad])
    site.recall()
    files = site.files(request)
    assert {name: (file.state, file.error) for name, file in files.items()} == {
        "1": ("COMPLETED", ""),
        "2": ("FAILED", "no copy of the file can be read"),
        "404": ("FAILED", "no such file in the archive"),
        "a/b": ("FAILED", "a path has one segment"),
    }
    assert tape.recalls == {"1": 1}


@on_sqlite
def test_the_same_file_twice_in_a_request_is_told_twice_and_recalled_once(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A")
    request = site.service.submit([Wish("/1", "1"), Wish("//1", "1"), Wish("/1", "1", activity="other")])
    site.recall()
    told = [(file.path, file.state) for file in site.service.progress(request).files]
    assert told == [("/1", "COMPLETED"), ("//1", "COMPLETED"), ("/1", "COMPLETED")]
    assert tape.recalls == {"1": 1}


def test_all_who_ask_for_a_file_join_one_recall(site: Site, tape: Tape) -> None:
    tape.add("1", "2", volume="A")
    requests = [site.submit("1", "2"), site.submit("2")]
    site.work()
    requests += [site.submit("2"), site.submit("2", "1")]
    assert not site.service.ask("2")
    assert not site.service.ask("2")
    site.recall()
    assert [set(site.states(request).values()) for request in requests] == [{"COMPLETED"}] * 4
    assert tape.recalls == {"1": 1, "2": 1}
    assert site.service.ask("2")


@on_sqlite
def test_a_file_that_was_evicted_is_recalled_again(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A")
    first = site.submit("1")
    site.recall()
    tape.put_online("1", state=False)
    second = site.submit("1")
    site.recall()
    assert (site.states(first), site.states(second)) == ({"1": "COMPLETED"}, {"1": "COMPLETED"})
    assert tape.recalls == {"1": 2}


@pytest.mark.parametrize("has_started", [False, True])
def test_a_cancel_by_one_of_two_leaves_the_recall_to_the_other(site: Site, tape: Tape, has_started: bool) -> None:
    tape.add("1", volume="A")
    first, second = site.submit("1"), site.submit("1")
    if has_started:
        site.work()
    site.service.cancel(first, wishes("1"))
    site.recall()
    assert (site.states(first), site.states(second)) == ({"1": "CANCELLED"}, {"1": "COMPLETED"})
    assert tape.recalls == {"1": 1}


@pytest.mark.parametrize("has_started", [False, True])
def test_a_cancel_by_all_withdraws_the_recall(site: Site, tape: Tape, has_started: bool) -> None:
    tape.add("1", "2", volume="A")
    first, second = site.submit("1", "2"), site.submit("1")
    if has_started:
        site.work()
    for request in (first, second):
        site.service.cancel(request, wishes("1"))
    assert (site.states(first)["1"], site.states(second)["1"]) == ("CANCELLED", "CANCELLED")
    site.work()
    assert tape.under_way == {"2"}
    site.recall()
    assert (site.states(first), tape.online) == ({"1": "CANCELLED", "2": "COMPLETED"}, {"2"})
    assert tape.recalls == ({"1": 1, "2": 1} if has_started else {"2": 1})


@on_sqlite
def test_a_cancelled_file_can_be_asked_for_again(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A")
    first = site.submit("1")
    site.work()
    site.service.cancel(first, wishes("1"))
    second = site.submit("1")
    site.recall()
    assert (site.states(first), site.states(second)) == ({"1": "CANCELLED"}, {"1": "COMPLETED"})
    assert tape.recalls == {"1": 1}


@on_sqlite
def test_a_direct_request_keeps_a_recall_that_all_others_have_cancelled(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A")
    request = site.submit("1")
    site.service.ask("1")
    site.service.cancel(request, wishes("1"))
    site.recall()
    assert (site.states(request), tape.online) == ({"1": "CANCELLED"}, {"1"})


@on_sqlite
def test_cancelling_what_has_ended_changes_nothing(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A")
    request = site.submit("1", "404")
    site.recall()
    site.service.cancel(request, wishes("1", "404"))
    assert site.states(request) == {"1": "COMPLETED", "404": "FAILED"}
    site.work()
    assert tape.online == {"1"}


def test_a_cancel_that_names_a_file_of_another_request_cancels_nothing(site: Site, tape: Tape) -> None:
    tape.add("1", "2", volume="A")
    request, _ = site.submit("1"), site.submit("2")
    with pytest.raises(RequestError, match="/2"):
        site.service.cancel(request, wishes("1", "2"))
    assert site.states(request) == {"1": "SUBMITTED"}


@pytest.mark.parametrize("has_started", [False, True])
def test_deleting_a_request_cancels_it(site: Site, tape: Tape, has_started: bool) -> None:
    tape.add("1", "2", volume="A")
    first, second = site.submit("1", "2", "404"), site.submit("2")
    if has_started:
        site.work()
    site.service.delete(first)
    with pytest.raises(MissingRequestError):
        site.service.progress(first)
    site.recall()
    assert (site.states(second), tape.online) == ({"2": "COMPLETED"}, {"2"})


def test_a_request_that_is_not_there_is_missing(site: Site) -> None:
    for id in ("", "nonsense", "a\0b", "\udcff", "é" * 40, "x" * 5000, "%s", "0" * 36):
        for action in (site.service.progress, site.service.delete, lambda id: site.service.cancel(id, [])):
            with pytest.raises(MissingRequestError):
                action(id)
        site.service.release(id, wishes("1"))


def test_the_id_of_a_request_is_exact(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A")
    request = site.submit("1")
    for other in (request.upper(), f"{request} ", f" {request}"):
        with pytest.raises(MissingRequestError):
            site.service.progress(other)
        site.service.release(other, wishes("1"))
    site.recall()
    assert site.states(request) == {"1": "COMPLETED"}


ODD = ["\udcff\udc80", "a\0b", "a ", "a", "A", " a", "é", "e\u0301", "🖉", "%41", "a/b", "'\"\\%s?", "x" * 4000]


def test_ids_of_any_characters_are_files_of_their_own(site: Site, tape: Tape) -> None:
    tape.add(*ODD, volume="A")
    request = site.submit(*ODD)
    site.recall()
    assert site.states(request) == dict.fromkeys(ODD, "COMPLETED")
    assert tape.recalls == dict.fromkeys(ODD, 1)
    assert tape.order == ODD


def test_paths_and_errors_of_any_characters_are_told_as_they_came(site: Site) -> None:
    bad = [Wish(text, None, error=f"{text} is no file") for text in [*ODD, "y" * 100_000]]
    request = site.service.submit(bad)
    told = [(file.path, file.error) for file in site.service.progress(request).files]
    assert told == [(wish.path, wish.error) for wish in bad]


def test_a_failure_is_told_once_to_who_asks_directly(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A", fates=["fails"] * 3 + ["arrives"])
    assert not site.service.ask("1")
    site.recall(100, step=10)
    with pytest.raises(BackendUnavailableError, match="the tape is torn"):
        site.service.ask("1")
    assert not site.service.ask("1")
    site.recall()
    assert site.service.ask("1")
    assert tape.recalls == {"1": 4}


@on_sqlite
def test_a_final_failure_is_a_conflict_for_who_asks_directly(site: Site, tape: Tape) -> None:
    tape.add("1", "2", volume="A", fates=["refused"])
    assert not site.service.ask("1")
    site.recall()
    with pytest.raises(ConflictError, match="the storage refuses the file"):
        site.service.ask("1")
    tape.lose_copies("2")
    with pytest.raises(ConflictError, match="no copy"):
        site.service.ask("2")
    with pytest.raises(MissingFileError):
        site.service.ask("404")


def test_a_large_request_is_told_in_the_order_in_which_it_came(open_site: Open, tape: Tape) -> None:
    site = open_site(volume_files=1000, quiet_seconds=60.0)
    names = [str(number) for number in range(603)]
    tape.add(*reversed(names), volume="A")
    request = site.submit(*names)
    site.recall(150, step=70)
    files = site.service.progress(request).files
    assert [file.path for file in files] == [f"/{name}" for name in names]
    assert {file.state for file in files} == {"COMPLETED"}
    assert tape.order == names[::-1]
    site.service.release(request, wishes(*names))
    site.service.delete(request)
