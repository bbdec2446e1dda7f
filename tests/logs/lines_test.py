"""The line of a request: what it tells, and that no client can forge another one."""

import json
import re

import pytest

from pacifica.archiveinterface.logs.lines import combined_line, json_line
from pacifica.archiveinterface.web.exchange import Exchange

PLAIN = Exchange(
    request_id="cart-42",
    method="GET",
    target="/7?byte_range=2-5",
    protocol="HTTP/1.1",
    client="192.0.2.7",
    user="alice",
    status=206,
    begun=1790000000.25,
    first_byte=0.0123,
    seconds=1.5,
    received=0,
    sent=3,
    broke_off=False,
    referer="http://site/page",
    user_agent="curl/8",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    scheme="http",
)
BARE = PLAIN._replace(user=None, client="", referer="", user_agent="", traceparent="", broke_off=True)
COMBINED = re.compile(
    r'(?P<client>\S+) - (?P<user>\S+) \[(?P<date>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)"'
    r' (?P<status>\d{3}) (?P<sent>\d+) "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
    r" (?P<seconds>\d+\.\d{6}) (?P<received>\d+) (?P<end>complete|broken) (?P<id>\S+) (?P<trace>\S+)\n"
)
HOSTILE = [
    "line\nbreak",
    'quo"te" 200 5 "forged',
    "back\\slash\\",
    "\x1b[2Jcontrol\x00\x7f\r\t",
    "\xc3\xa9 in UTF-8",
    "\x85\u2028",
    "] [01/Jan/2026",
    "long" * 5000,
    "\x00" * 60_000,
    '"\\' * 9000,
]


def test_the_combined_form_is_that_of_web_servers_and_more() -> None:
    line = combined_line(PLAIN)
    found = re.fullmatch(r"(.*)\[(.*)\](.*)\n", line)
    assert found
    start, date, rest = found.groups()
    assert start == "192.0.2.7 - alice "
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/2026:\d\d:\d\d:20 [+-]\d{4}", date)
    assert rest == (
        ' "GET /7?byte_range=2-5 HTTP/1.1" 206 3 "http://site/page" "curl/8"'
        " 1.500000 0 complete cart-42 4bf92f3577b34da6a3ce929d0e0e4736"
    )


def test_what_is_not_known_is_a_hyphen() -> None:
    found = COMBINED.fullmatch(combined_line(BARE))
    assert found
    assert found.group("client", "user", "referer", "agent", "end", "trace") == ("-", "-", "-", "-", "broken", "-")


def test_the_json_form_has_names_for_the_same() -> None:
    assert json.loads(json_line(PLAIN)) == {
        "time": "2026-09-21T14:13:20.250Z",
        "type": "access",
        "request_id": "cart-42",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "client": "192.0.2.7",
        "user": "alice",
        "method": "GET",
        "target": "/7?byte_range=2-5",
        "protocol": "HTTP/1.1",
        "referer": "http://site/page",
        "user_agent": "curl/8",
        "status": 206,
        "seconds": 1.5,
        "first_byte_seconds": 0.0123,
        "bytes_received": 0,
        "bytes_sent": 3,
        "complete": True,
    }
    told = json.loads(json_line(BARE))
    assert [told[name] for name in ("client", "user", "referer", "trace_id", "complete")] == ["", "", "", "", False]


@pytest.mark.parametrize("field", ["target", "client", "user", "referer", "user_agent", "method", "protocol"])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_value_of_a_client_forges_a_line_or_a_field(field: str, text: str) -> None:
    exchange = Exchange(**{**PLAIN._asdict(), field: text})
    line = combined_line(exchange)
    assert line.isascii()
    assert line[:-1].isprintable()
    found = COMBINED.fullmatch(line)
    assert found
    assert found.group("status", "sent", "end", "id") == ("206", "3", "complete", "cart-42")
    told = json_line(exchange)
    assert told.isascii()
    assert told.index("\n") == len(told) - 1
    members = json.loads(told)
    assert (members["status"], members["bytes_sent"]) == (206, 3)
    assert set(members) == set(json.loads(json_line(PLAIN)))


def test_the_name_of_a_user_is_told_in_utf_8() -> None:
    named = PLAIN._replace(user="Ålice ж")
    assert json.loads(json_line(named))["user"] == "Ålice ж"
    match = COMBINED.fullmatch(combined_line(named))
    assert match
    assert match["user"].encode().decode("unicode_escape").encode("latin-1").decode() == "Ålice ж"


def test_json_tells_what_the_client_wrote_in_utf_8() -> None:
    assert json.loads(json_line(PLAIN._replace(user_agent="caf\xc3\xa9 \xff")))["user_agent"] == "café \\xff"


@pytest.mark.parametrize("text", HOSTILE[-3:], ids=["long", "escapes", "quotes"])
def test_a_pipe_keeps_a_line_together_however_long_the_values_are(text: str) -> None:
    exchange = PLAIN._replace(target=text, client=text, user=text, referer=text, user_agent=text, method=text)
    assert len(combined_line(exchange)) <= 4096
    assert len(json_line(exchange)) <= 4096
