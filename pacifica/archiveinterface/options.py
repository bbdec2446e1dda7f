"""The kit for options: a section of config.ini is a dataclass, an option one of its fields, and a reader checks them.

Default, type and meaning of an option stand in its field and nowhere else. The shipped config.ini and the page
of the options are made from them. Every room and every backend has the dataclass of its section beside its code.
"""

import configparser
import difflib
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any

from .exception import ConfigurationError
from .globals import LOG_NAME

Parser = Callable[[str], Any]
"""Returns the value of a text; raises ValueError, which says what the text is not: "a port, 1 to 65535"."""

_NEAR = 0.7  # of difflib: a letter or two of a short name
_DEPLOYED = ("hms_sideband",)  # a misspelling in the documented example of the 0.x releases, which ignored it as well

_log = logging.getLogger(LOG_NAME)


def option(default: str, meaning: str, parse: Parser = str) -> Any:
    """Return a field whose *default* is written as in config.ini; *parse* returns the value of such a text."""
    return field(default=parse(default), metadata={"text": default, "meaning": meaning, "parse": parse})


def secret(default: str, meaning: str, parse: Parser = str) -> Any:
    """Return a field as `option` does, for a value that no message and no repr shows."""
    return field(default=parse(default), repr=False, metadata={"text": default, "meaning": meaning, "parse": parse})


def options(section: type) -> Iterator[tuple[str, str, str]]:
    """Yield name, default as written in config.ini and meaning of each option of *section*."""
    for each in fields(section):
        yield each.name, each.metadata["text"], each.metadata["meaning"]


def boolean(text: str) -> bool:
    """Parse true or false, in the spellings of configparser."""
    try:
        return configparser.ConfigParser.BOOLEAN_STATES[text.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def at_least(least: float, kind: type[int] | type[float]) -> Parser:
    """Return the parser of a finite number of at least *least*."""

    def parse(text: str) -> float:
        meaning = f"a number of at least {least}"
        try:
            number = kind(text)
        except ValueError:
            raise ValueError(meaning) from None
        if not least <= number < float("inf"):
            raise ValueError(meaning)
        return number

    return parse


def port(text: str) -> int:
    """Parse the number of a TCP port."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError("a port, 1 to 65535")
    return int(text)


def host_and_port(text: str) -> tuple[str, int] | None:
    """Parse ``host:port``, or nothing."""
    host, _, number = text.rpartition(":")
    if not text:
        return None
    if not host or not number.isdecimal():
        raise ValueError("host:port")
    return host, port(number)


def one_of(*words: str) -> Parser:
    """Return the parser of one of *words*."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(" or ".join(words))
        return text

    return parse


def absolute_path(text: str) -> str:
    """Parse an absolute path, or nothing."""
    if text and not os.path.isabs(text):
        raise ValueError("an absolute path")
    return text


def absolute_paths(text: str) -> tuple[str, ...]:
    """Parse absolute paths, separated by colons or line ends."""
    paths = tuple(line.strip() for line in text.replace(os.pathsep, "\n").splitlines() if line.strip())
    if not all(os.path.isabs(path) for path in paths):
        raise ValueError(f"absolute paths, separated by {os.pathsep} or line ends")
    return paths


def shell_words(text: str) -> tuple[str, ...]:
    """Parse the words of a command, quoted as for a shell."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise ValueError("words, with quotes in pairs") from None


def read_options(path: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the options of each section in *kinds*, by its name, as the file at *path* sets them.

    Raises ConfigurationError, naming file, section, key and value, when the file cannot be read, is not a
    configuration file, or holds an unknown key, a bad value or a section whose name is nearly one of *kinds*. Another
    section that is not in *kinds* is logged.
    """
    texts = read_sections(path, configparser.ConfigParser(interpolation=None))
    for name in [name for name in texts if name not in kinds]:
        nearest = difflib.get_close_matches(name, kinds, n=1, cutoff=_NEAR)
        if nearest and name not in _DEPLOYED:
            raise ConfigurationError(f"{path}: unknown section [{name}]; did you mean [{nearest[0]}]?")
        advice = f"; did you mean [{nearest[0]}]?" if nearest else ""
        _log.warning("%s: unknown section [%s] is ignored%s", path, name, advice)
    return {name: parse_options(f"{path}: [{name}]", kind, texts.get(name, {})) for name, kind in kinds.items()}


def parse_options(place: str, kind: type, texts: Mapping[str, str]) -> Any:
    """Return a *kind* with the options that *texts* set, by their names.

    Raises ConfigurationError, which begins with *place*.
    """
    known: dict[str, Field[Any]] = {each.name: each for each in fields(kind)}
    values = {}
    for key, text in texts.items():
        if key not in known:
            raise ConfigurationError(f"{place} has no option {key!r}; its options are {', '.join(known)}")
        try:
            values[key] = known[key].metadata["parse"](text)
        except ValueError as error:
            shown = f" = {text!r}" if known[key].repr else ""
            raise ConfigurationError(f"{place} {key}{shown} is not {error}") from error
    return kind(**values)


def read_sections(path: str, parser: configparser.ConfigParser) -> dict[str, dict[str, str]]:
    """Return the texts of the file at *path*, by section and key, as *parser* reads them. Raises ConfigurationError."""
    try:
        parser.read_string(read_text(path), path)
        return {section: dict(parser.items(section)) for section in parser.sections()}
    except configparser.Error as error:
        raise _malformed(path, error) from None


def read_text(path: str) -> str:
    """Return the text of the file at *path*, in UTF-8. Raises ConfigurationError."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'unreadable').lower()}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a text file in UTF-8") from error


def _malformed(place: str, error: configparser.Error) -> ConfigurationError:
    """Return what *error* says of the file *place*, without the text of its lines: a line may hold a password."""
    if isinstance(error, configparser.DuplicateOptionError):
        return ConfigurationError(f"{place}: line {error.lineno}: [{error.section}] {error.option} is set twice")
    if isinstance(error, configparser.DuplicateSectionError):
        return ConfigurationError(f"{place}: line {error.lineno}: section [{error.section}] begins twice")
    if isinstance(error, configparser.MissingSectionHeaderError):
        return ConfigurationError(f"{place}: line {error.lineno}: a line before the first [section]")
    if isinstance(error, configparser.InterpolationError):
        return ConfigurationError(
            f"{place}: [{error.section}] {error.option}: a % must be followed by another % or by (name)s"
        )
    lines = ", ".join(str(number) for number, _ in getattr(error, "errors", ()))
    return ConfigurationError(f"{place}: line {lines}: neither a [section] nor an option with a value")
