"""Durations, and the parts of an answer that only a clock could show."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.archiveinterface.exception import ConfigurationError, RequestError
from pacifica.archiveinterface.options import read_options
from pacifica.archiveinterface.recalls.progress import FileProgress, RequestProgress
from pacifica.archiveinterface.tape.answers import progress_answer
from pacifica.archiveinterface.tape.options import TapeOptions
from pacifica.archiveinterface.tape.times import moment_of, seconds_of

DAY = 86400


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("PT1H", 3600),
        ("P1DT2H3M4S", DAY + 2 * 3600 + 3 * 60 + 4),
        ("P2W", 14 * DAY),
        ("P1Y2M3W4D", (365 + 60 + 21 + 4) * DAY),
        ("P1M", 30 * DAY),
        ("PT1M", 60),
        ("PT0S", 0),
        ("PT1.5S", 1.5),
        ("PT0,5H", 1800),
        ("P1.5D", 1.5 * DAY),
        ("P1DT0.25H", DAY + 900),
        ("PT36H", 36 * 3600),
        ("P007D", 7 * DAY),
        ("PT" + "9" * 15 + "S", 999999999999999),
        ("PT0.000000000000001S", 1e-15),
    ],
)
def test_a_duration_is_so_many_seconds(duration: str, seconds: float) -> None:
    assert seconds_of(duration) == seconds


@pytest.mark.parametrize(
    "duration",
    [
        "",
        "P",
        "PT",
        "P1DT",
        "1D",
        "P1",
        "PT1",
        "P1H",
        "PT1D",
        "P1D2W",
        "PT1S1M",
        "P1D ",
        "-P1D",
        "P-1D",
        "P+1D",
        "p1d",
        "P1DT1H\n",
        "P.5D",
        "P1.D",
        "P1.5DT1H",
        "P\u0661D",
        "P1D1D",
        "PT1e3S",
        "P0001-01-01T00:00:00",
        "P" + "1" * 16 + "D",
        "PT0." + "1" * 16 + "S",
    ],
)
def test_a_malformed_duration_has_no_seconds(duration: str) -> None:
    assert seconds_of(duration) is None


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_the_parts_of_a_duration_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    duration = f"P{days}DT{hours}H{minutes}M{seconds}S"
    assert seconds_of(duration) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def test_a_moment_is_in_epoch_seconds() -> None:
    assert moment_of("1795672922") == 1795672922
    assert moment_of("1795672922.5") == 1795672922.5
    with pytest.raises(RequestError):
        moment_of(["1", "2"])


def test_times_are_whole_seconds_and_estimates_do_not_promise_too_much() -> None:
    files = [
        FileProgress("/1", "SUBMITTED", None, None, "", 7, 2.1),
        FileProgress("/2", "COMPLETED", 11.9, 12.9, ""),
        FileProgress("/3", "FAILED", 11.9, 12.9, ""),
    ]
    body = progress_answer(RequestProgress("an-id", 10.9, 11.9, None, files), 1000.9).body
    assert isinstance(body, bytes)
    content = json.loads(body)
    assert (content["createdAt"], content["startedAt"], content["nextSince"]) == (10, 11, 970)
    assert content["files"] == [
        {"path": "/1", "state": "SUBMITTED", "position": 7, "estimatedSeconds": 3},
        {"path": "/2", "state": "COMPLETED", "startedAt": 11, "finishedAt": 12},
        {"path": "/3", "state": "FAILED", "startedAt": 11, "finishedAt": 12, "error": "the recall failed"},
    ]


@pytest.mark.parametrize("url", ["https://a.example", "http://[::1]:8080/archive/", "HTTPS://a/b/c"])
def test_a_public_url(url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = tmp_path_factory.mktemp("config") / "config.ini"
    config.write_text(f"[tape]\npublic_url = {url}\n")
    assert read_options(str(config), {"tape": TapeOptions})["tape"].public_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["a.example", "ftp://a", "https://", "https://a?b", "https://a#b", "https://u:p@a", "https://a:x", "https://é"],
)
def test_what_is_no_public_url(url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = tmp_path_factory.mktemp("config") / "config.ini"
    config.write_text(f"[tape]\npublic_url = {url}\n")
    with pytest.raises(ConfigurationError, match="public_url"):
        read_options(str(config), {"tape": TapeOptions})
