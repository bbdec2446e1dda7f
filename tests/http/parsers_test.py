"""Ids, dates and ranges, for every input that can be thought of."""

import calendar
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.archiveinterface.archive_utils import bytes_type, un_abs_path
from pacifica.archiveinterface.backends.conformance import fails_with
from pacifica.archiveinterface.exception import ByteRangeError, FileIdError, ModTimeError, RangeNotSatisfiableError
from pacifica.archiveinterface.http.headers.dates import parse_http_date, parse_mod_time
from pacifica.archiveinterface.http.headers.ranges import (
    MOST_RANGES,
    Segment,
    clip,
    parse_byte_range,
    parse_range_header,
)
from pacifica.archiveinterface.id2filename import LARGEST_ID, filename2id, id2filename, parse_file_id

IDS = st.one_of(st.integers(0, 70_000), st.integers(0, LARGEST_ID))
SECONDS = st.integers(0, 253402300799)


@pytest.mark.parametrize(
    ("file_id", "path"),
    [
        (0, "/file.0"),
        (5, "/file.5"),
        (255, "/file.ff"),
        (256, "/00/100"),
        (1234, "/d2/4d2"),
        (12345, "/39/3039"),
        (0xABCDEF, "/ef/cd/abcdef"),
        (0x1ABCDEF, "/ef/cd/ab/1abcdef"),
        (LARGEST_ID, "/ff/ff/ff/ff/ff/ff/ff/7fffffffffffffff"),
    ],
)
def test_documented_paths(file_id: int, path: str) -> None:
    assert id2filename(file_id) == path
    assert filename2id(path) == file_id


@given(IDS)
def test_every_id_comes_back_from_its_path(file_id: int) -> None:
    assert filename2id(id2filename(file_id)) == file_id


@given(st.sets(IDS, max_size=50))
def test_no_id_s_path_is_another_s_file_or_directory(file_ids: set[int]) -> None:
    paths = {id2filename(file_id) for file_id in file_ids}
    assert len(paths) == len(file_ids)
    directories = {path[:end] for path in paths for end in range(1, len(path)) if path[end] == "/"}
    assert not paths & directories


@given(IDS)
def test_a_path_of_an_id_is_safe_to_walk(file_id: int) -> None:
    assert re.fullmatch(r"/(file\.[0-9a-f]{1,2}|([0-9a-f]{2}/){1,7}[0-9a-f]{3,16})", id2filename(file_id))


@given(st.text(max_size=30))
def test_text_that_is_no_path_of_an_id_is_refused(text: str) -> None:
    try:
        file_id = filename2id(text)
    except FileIdError:
        return
    assert id2filename(file_id) == text


@pytest.mark.parametrize(
    "path",
    [
        "39/3039",
        "/3039",
        "/39/3039/",
        "/39/03039",
        "/00/3039",
        "/39/3039x",
        "/file.05",
        "/file.100",
        "/file.",
        "/ff/ff/ff/ff/ff/ff/ff/8000000000000000",
    ],
)
def test_a_path_that_is_almost_that_of_an_id_is_refused(path: str) -> None:
    with fails_with(FileIdError):
        filename2id(path)


@pytest.mark.parametrize("file_id", [-1, LARGEST_ID + 1])
def test_ids_out_of_bounds_have_no_path(file_id: int) -> None:
    with pytest.raises(FileIdError):
        id2filename(file_id)


@given(st.text(max_size=25))
def test_an_id_has_exactly_one_spelling(text: str) -> None:
    try:
        file_id = parse_file_id(text)
    except FileIdError:
        assert not (re.fullmatch("0|[1-9][0-9]*", text) and int(text) <= LARGEST_ID)
        return
    assert text == str(file_id)
    assert 0 <= file_id <= LARGEST_ID


@given(IDS)
def test_every_id_is_read(file_id: int) -> None:
    assert parse_file_id(str(file_id)) == file_id


@given(SECONDS)
def test_http_dates_are_read(seconds: int) -> None:
    text = formatdate(seconds, usegmt=True)
    assert parse_http_date(text) == parse_mod_time(text) == seconds


@given(st.integers(0, 4102444799))
def test_ctime_is_local_time(seconds: int) -> None:
    # An hour that local time has twice may mean either of the two.
    assert abs(parse_mod_time(time.ctime(seconds)) - seconds) in (0, 3600)


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is ten hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC-10")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Tue, 13 Sep 2016 22:34:19 GMT", 1473806059),
        ("Tuesday, 13-Sep-16 22:34:19 GMT", 1473806059),
        ("2016-09-13T22:34:19Z", 1473806059),
        ("2016-09-13T22:34:19-01:30", 1473811459),
        ("1473806059.25", 1473806059.25),
        ("Tue Sep 13 22:34:19 2016", 1473770059),  # what follows is local time
        ("2016-09-13T22:34:19", 1473770059),
        ("2016-09-13 22:34", 1473770040),
        ("2016-09-13", 1473688800),
    ],
)
def test_only_a_date_that_names_no_zone_is_local_time(text: str, seconds: float) -> None:
    assert parse_mod_time(text) == seconds


@pytest.mark.usefixtures("far_from_utc")
def test_in_conditions_every_form_of_an_http_date_means_utc() -> None:
    assert parse_http_date("Tue Sep 13 22:34:19 2016") == 1473806059
    assert parse_http_date("Tuesday, 13-Sep-16 22:34:19 GMT") == 1473806059
    assert parse_http_date("2016-09-13T22:34:19Z") is None


@pytest.mark.parametrize(
    ("text", "is_read"), [("0", True), ("-1", False), ("253402300799", True), ("253402300800", False)]
)
def test_times_lie_between_1970_and_9999(text: str, is_read: bool) -> None:
    with nullcontext() if is_read else pytest.raises(ModTimeError):
        assert parse_mod_time(text) == int(text)


@given(st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1)), st.integers(-1439, 1439), st.sampled_from("T "))
def test_iso_8601_is_read(moment: datetime, minutes: int, separator: str) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_mod_time(zoned.isoformat(separator)) == pytest.approx(zoned.timestamp(), abs=1e-3)
    utc = moment.isoformat(separator) + "Z"
    assert parse_mod_time(utc) == pytest.approx(calendar.timegm(moment.timetuple()), abs=1)


@given(st.floats(0, 253402300799, allow_nan=False).map(lambda seconds: round(seconds, 3)))
def test_epoch_seconds_are_read(seconds: float) -> None:
    assert parse_mod_time(f"{seconds:.3f}") == seconds


@given(st.one_of(st.text(max_size=40), st.from_regex(r"[\w:,.+ -]{1,40}")))
def test_any_other_date_is_refused_and_nothing_else_happens(text: str) -> None:
    try:
        seconds = parse_mod_time(text)
    except ModTimeError:
        return
    assert 0 <= seconds < 253402300800


@pytest.mark.parametrize(
    "text",
    [
        "Tue, 13 Sep \uff12\uff10\uff11\uff16 22:34:19 GMT",  # digits of another script
        f"Tue{' ' * 100}Sep 13 22:34:19 2016",
        "2016-02-30",
        "some day",
        "",
        "253402300800",
    ],
)
def test_a_date_that_is_refused_is_told_why(text: str) -> None:
    with fails_with(ModTimeError):
        parse_mod_time(text)


@given(st.integers(0, 10**19 - 1), st.integers(0, 10**19 - 1))
def test_byte_range_excludes_its_end(first: int, end: int) -> None:
    text = f"{first}-{end}"
    if first <= end:
        assert parse_byte_range(text) == Segment(first, end - first)
    else:
        with pytest.raises(ByteRangeError):
            parse_byte_range(text)


@given(st.text(max_size=30))
def test_any_other_byte_range_is_refused(text: str) -> None:
    if not re.fullmatch("[0-9]+-[0-9]+", text):
        with pytest.raises(ByteRangeError):
            parse_byte_range(text)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_a_clipped_segment_is_what_slicing_gives(offset: int, length: int, filesize: int) -> None:
    content = bytes(filesize)
    try:
        found = clip(Segment(offset, length), filesize)
    except RangeNotSatisfiableError:
        assert content[offset : offset + length] == b""
        return
    assert content[found.offset : found.offset + found.length] == content[offset : offset + length]


@st.composite
def range_specs(draw: st.DrawFn) -> tuple[str, slice]:
    first = draw(st.integers(0, 120))
    kind = draw(st.sampled_from(["closed", "open", "suffix"]))
    if kind == "closed":
        last = draw(st.integers(first, 130))
        return f"{first}-{last}", slice(first, last + 1)
    if kind == "open":
        return f"{first}-", slice(first, None)
    return f"-{first}", slice(-first, None) if first else slice(0, 0)


@given(st.lists(range_specs(), min_size=1, max_size=5), st.integers(0, 100))
def test_a_range_header_means_what_slicing_means(specs: list[tuple[str, slice]], filesize: int) -> None:
    content = bytes(range(filesize))
    wanted = [content[part] for _, part in specs if content[part]]
    header = "bytes=" + ",".join(text for text, _ in specs)
    try:
        found = parse_range_header(header, filesize)
    except RangeNotSatisfiableError:
        assert not wanted
        return
    if found is None:  # more to send in parts than the file is long
        assert sum(map(len, wanted)) > filesize
    else:
        assert [content[part.offset : part.offset + part.length] for part in found] == wanted


@given(st.one_of(st.text(max_size=40), st.from_regex(r"bytes=[\d, -]{0,30}")), st.integers(0, 1000))
def test_any_range_header_is_answered(text: str, filesize: int) -> None:
    try:
        found = parse_range_header(text, filesize)
    except RangeNotSatisfiableError:
        return
    for part in found or []:
        assert 0 <= part.offset < part.offset + part.length <= filesize


def test_no_parser_takes_more_than_linear_time() -> None:
    # Linear: 4 seconds of processor time for all. Quadratic: minutes for a single text.
    limit = 40  # seconds
    subprocess.run(
        [sys.executable, "-m", "tests.http.long_inputs"],
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
    )


def test_text_becomes_bytes() -> None:
    assert bytes_type("é") == b"\xc3\xa9"
    assert bytes_type(b"\xff") == b"\xff"


def test_leading_slashes_are_dropped() -> None:
    assert un_abs_path("//12345") == "12345"


LONGEST = "9" * 19


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        (f"bytes=0-{LONGEST}", [Segment(0, 10)]),
        (f"bytes=-{LONGEST}", [Segment(0, 10)]),
        (f"bytes=0-9{LONGEST}", None),
        (f"bytes=0-1,9{LONGEST}-", None),
        (f"bytes=0-1,{LONGEST}-", [Segment(0, 2)]),
        ("bytes=0-1, ,\t,", [Segment(0, 2)]),
        ("bytes=0-1,\v", None),
        ("bytes=0-1,X", None),
        (f"bytes={'0-0,' * 10}", [Segment(0, 1)] * 10),
        (f"bytes={'0-0,' * 11}", None),  # more bytes than the file has
    ],
)
def test_a_range_header_at_the_bounds(text: str, segments: list[Segment] | None) -> None:
    assert parse_range_header(text, 10) == segments


def test_as_many_ranges_as_may_be_are_sent_apart() -> None:
    assert parse_range_header(f"bytes={'0-0,' * MOST_RANGES}", 1000) == [Segment(0, 1)] * MOST_RANGES
    assert parse_range_header(f"bytes={'0-0,' * (MOST_RANGES + 1)}", 1000) is None


def test_no_bytes_may_be_asked_for_at_the_very_end() -> None:
    assert clip(Segment(10, 0), 10) == Segment(10, 0)
    for segment in (Segment(10, 1), Segment(11, 0)):
        with pytest.raises(RangeNotSatisfiableError) as caught:
            clip(segment, 10)
        assert caught.value.filesize == 10
