"""The service's own messages: one line, or one object, for each, with the request that it belongs to."""

import json
import logging
from collections.abc import Iterator

import pytest

from pacifica.archiveinterface.logs.context import Known, answered
from pacifica.archiveinterface.logs.formatters import JsonFormatter, TextFormatter

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HOSTILE = 'na"me\n2026-01-01 00:00:00,000 ERROR forged \x1b[0m \u2028'


@pytest.fixture
def request_42() -> Iterator[None]:
    """A request that is being answered."""
    token = answered.set(Known("cart-42", TRACE))
    yield
    answered.reset(token)


def record_of(message: str, *arguments: object) -> logging.LogRecord:
    """Return what a logger hands to its handlers, with the error that is being handled."""
    try:
        raise OSError(HOSTILE)
    except OSError as error:
        return logging.LogRecord("log", logging.ERROR, "", 0, message, arguments, (type(error), error, None))


def lines_of(text: str) -> list[str]:
    """Return the lines as a terminal or a journal may see them."""
    return text.splitlines()


@pytest.mark.usefixtures("request_42")
def test_a_line_names_the_request_once() -> None:
    line = lines_of(TextFormatter().format(record_of("%s is damaged", "7")))[0]
    assert line.endswith(" ERROR request cart-42: 7 is damaged")
    line = lines_of(TextFormatter().format(record_of("request %s failed", "cart-42")))[0]
    assert line.endswith(" ERROR request cart-42 failed")


def test_a_line_of_no_request_names_none() -> None:
    assert lines_of(TextFormatter().format(record_of("recaller begins")))[0].endswith(" ERROR recaller begins")


def test_a_name_makes_no_further_line() -> None:
    lines = lines_of(TextFormatter().format(record_of("%s: stays", HOSTILE)))
    assert len(lines) == 3  # the message, and the error with the name in its text, which has one line end
    assert "\\n2026-01-01" in lines[0]
    assert all(line.isprintable() for line in lines)


@pytest.mark.usefixtures("request_42")
def test_a_json_line_has_request_trace_and_traceback() -> None:
    line = JsonFormatter().format(record_of("%s: stays", HOSTILE))
    assert line.isascii()
    assert line.isprintable()
    told = json.loads(line)
    assert told.pop("time")[:2] == "20"
    assert "forged" in told.pop("traceback")
    assert told == {
        "type": "service",
        "level": "ERROR",
        "request_id": "cart-42",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "message": 'na"me\\n2026-01-01 00:00:00,000 ERROR forged \\x1b[0m \\u2028: stays',
    }


def test_a_long_message_is_cut() -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        assert len(formatter.format(logging.LogRecord("log", 20, "", 0, "x" * 100_000, (), None))) < 3000
