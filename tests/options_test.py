"""The kit for options and its reader."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pacifica.archiveinterface.backends.oracle_hsm_sideband.options import HsmSidebandOptions
from pacifica.archiveinterface.backends.posix.options import PosixOptions
from pacifica.archiveinterface.config import Config, get_config
from pacifica.archiveinterface.exception import ConfigurationError
from pacifica.archiveinterface.options import (
    absolute_paths,
    at_least,
    boolean,
    host_and_port,
    one_of,
    option,
    port,
    read_options,
    secret,
    shell_words,
)

Write = Callable[[str], str]


@dataclass(frozen=True)
class SafeOptions:
    """A section with a secret."""

    pin: int = secret("0", "digits that open it", at_least(0, int))
    colour: str = option("grey", "its colour", one_of("grey", "red"))


@dataclass(frozen=True)
class WiderPosixOptions(PosixOptions):
    """The section of the POSIX backend and one option more."""

    mode: str = option("0444", "mode of the files")


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (boolean, "Yes", True),
        (boolean, "off", False),
        (at_least(1, int), "1", 1),
        (at_least(0.5, float), "0.5", 0.5),
        (port, "1", 1),
        (port, "65535", 65535),
        (host_and_port, "", None),
        (host_and_port, "::1:80", ("::1", 80)),
        (one_of("a", "b"), "b", "b"),
        (absolute_paths, "/a:/b\n /c ", ("/a", "/b", "/c")),
        (absolute_paths, "", ()),
        (shell_words, "ssh 'meta data' stage", ("ssh", "meta data", "stage")),
    ],
)
def test_a_text_is_parsed(parse: Callable[[str], Any], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "told"),
    [
        (boolean, "perhaps", "true or false"),
        (at_least(1, int), "0", "a number of at least 1"),
        (at_least(1, int), "1.5", "a number of at least 1"),
        (at_least(0, float), "inf", "a number of at least 0"),
        (at_least(0, float), "nan", "a number of at least 0"),
        (port, "0", "a port"),
        (port, "65536", "a port"),
        (port, "²", "a port"),
        (host_and_port, "host", "host:port"),
        (host_and_port, ":80", "host:port"),
        (host_and_port, "host:0", "a port"),
        (one_of("a", "b"), "c", "a or b"),
        (absolute_paths, "/a:b", "absolute paths"),
        (shell_words, "it's", "words, with quotes in pairs"),
    ],
)
def test_a_text_that_cannot_be_parsed_is_refused(parse: Callable[[str], Any], text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text)


def test_a_bad_value_is_shown_unless_it_is_secret(written: Write) -> None:
    with pytest.raises(ConfigurationError, match="colour = 'blue' is not grey or red"):
        read_options(written("[safe]\ncolour = blue\n"), {"safe": SafeOptions})
    with pytest.raises(ConfigurationError, match="pin is not a number of at least 0") as caught:
        read_options(written("[safe]\npin = S3CRET\n"), {"safe": SafeOptions})
    assert "S3CRET" not in str(caught.value)


def test_no_representation_shows_a_secret() -> None:
    assert "S3CRET" not in repr(Config(hsm_sideband=HsmSidebandOptions(password="S3CRET")))


def test_every_unknown_section_is_named_in_the_order_of_the_file(
    written: Write, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        read_options(written("[zebra]\n[hms_sideband]\n[hpss]\n"), {"hsm_sideband": HsmSidebandOptions})
    told = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert told == [
        "unknown section [zebra] is ignored",
        "unknown section [hms_sideband] is ignored; did you mean [hsm_sideband]?",
        "unknown section [hpss] is ignored",
    ]


@pytest.mark.parametrize("name", ["saef", "saf", "safes", "Safe"])
def test_a_section_that_is_nearly_known_is_an_error(written: Write, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"unknown section \[{name}\]; did you mean \[safe\]\?"):
        read_options(written(f"[{name}]\n"), {"safe": SafeOptions})


def test_further_sections_are_read_and_have_defaults(written: Write) -> None:
    assert vars(get_config(written("[safe]\ncolour = red\n"), {"safe": SafeOptions}))["safe"].colour == "red"
    assert vars(get_config(written(""), {"safe": SafeOptions}))["safe"] == SafeOptions()


def test_a_backend_may_add_options_to_our_section_but_not_replace_it(written: Write) -> None:
    config = get_config(written("[posix]\nmode = 0400\n"), {"posix": WiderPosixOptions})
    assert config.posix == WiderPosixOptions(mode="0400")
    with pytest.raises(ConfigurationError, match=r"\[http\]"):
        get_config(written(""), {"http": SafeOptions})


def test_the_environment_names_the_file_when_it_is_read(written: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVEINTERFACE_CONFIG", written("[http]\nhead = standard\n"))
    assert get_config().http.head == "standard"
    monkeypatch.setenv("ARCHIVEINTERFACE_CONFIG", "/nonexistent/config.ini")
    with pytest.raises(ConfigurationError, match=r"/nonexistent/config\.ini: no such file"):
        get_config()
