"""Every option of config.ini, in one table, and its reader.

A section is a dataclass, an option one of its fields: the default, the type and the meaning
stand there and nowhere else. The shipped config.ini and the configuration page are made from it.
"""

import configparser
import difflib
import logging
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from .digests import ALGORITHMS, SUPPORTED, algorithm
from .exception import ConfigurationError
from .globals import CONFIG_FILE, LOG_NAME

Parser = Callable[[str], Any]
_log = logging.getLogger(LOG_NAME)


def _boolean(text: str) -> bool:
    try:
        return configparser.ConfigParser.BOOLEAN_STATES[text.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _at_least(least: float, kind: type[int] | type[float]) -> Parser:
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


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError("a port, 1 to 65535")
    return int(text)


def _host_and_port(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    if not text:
        return None
    if not host or not port.isdecimal():
        raise ValueError("host:port")
    return host, _port(port)


def _one_of(*words: str) -> Parser:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(" or ".join(words))
        return text

    return parse


def _absolute_paths(text: str) -> tuple[str, ...]:
    paths = tuple(line.strip() for line in text.replace(os.pathsep, "\n").splitlines() if line.strip())
    if not all(os.path.isabs(path) for path in paths):
        raise ValueError(f"absolute paths, separated by {os.pathsep} or line ends")
    return paths


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise ValueError("words, with quotes in pairs") from None


def _digests(text: str) -> tuple[str, ...]:
    names = tuple(algorithm(name) or "" for name in text.replace(",", " ").split())
    if "" in names:
        raise ValueError(f"a list of {', '.join(SUPPORTED)}")
    return names


def _option(default: str, meaning: str, parse: Parser = str) -> Any:
    return field(default=parse(default), metadata={"text": default, "meaning": meaning, "parse": parse})


@dataclass(frozen=True)
class ArchiveOptions:
    """How files are kept, whatever the backend."""

    overwrite: str = _option(
        "replace",
        "what a PUT to an existing file does: `replace` its content, or `refuse` (409) unless the bytes are the same",
        _one_of("replace", "refuse"),
    )
    durability: str = _option(
        "full",
        "what a 201 promises to survive a power loss: `full` the file and its name, `file` its bytes, `none` nothing",
        _one_of("full", "file", "none"),
    )
    reserve_bytes: int = _option("0", "space to keep free: a PUT that would use it is refused (507)", _at_least(0, int))
    digests: tuple[str, ...] = _option(
        "sha-256",
        f"digests to compute and keep of every file, separated by blanks: any of {' '.join(ALGORITHMS)}"
        " (crc32c with the package google-crc32c)",
        _digests,
    )
    verify_reads: bool = _option(
        "false",
        "whether a GET of a whole file checks its digest: a bad one is 500, or a connection that breaks before the end",
        _boolean,
    )
    move_roots: tuple[str, ...] = _option(
        "", "directories outside the prefix that PATCH may move files from, separated by colons", _absolute_paths
    )
    offline_read: str = _option(
        "stage",
        "what a GET of a file only on tape does: `stage` starts its recall and answers 503, `wait` waits for it",
        _one_of("stage", "wait"),
    )


@dataclass(frozen=True)
class HttpOptions:
    """How the service speaks HTTP."""

    head: str = _option(
        "documented",
        "`documented` answers HEAD with 204 and epoch seconds; `standard` with 200, Content-Length and an HTTP date",
        _one_of("documented", "standard"),
    )
    show_tracebacks: bool = _option(
        "false", "whether error answers carry a traceback; never on a public server", _boolean
    )
    sendfile: str = _option(
        "off",
        "who sends whole files: the service (`off`), or the web server before it, told by a header, `x-sendfile` or"
        " `x-accel-redirect` (nginx)",
        _one_of("off", "x-sendfile", "x-accel-redirect"),
    )
    drain_bytes: int = _option(
        "16777216",
        "how many bytes of a body that nobody wants are read so that the client can read the error",
        _at_least(0, int),
    )
    drain_seconds: float = _option(
        "30", "how long requests in flight may take after SIGTERM to pacifica-archiveinterface", _at_least(0, float)
    )


@dataclass(frozen=True)
class PosixOptions:
    """The POSIX backend."""

    use_id2filename: bool = _option(
        "false", "whether ids become paths in a tree (needed for many files) or file names below the prefix", _boolean
    )


@dataclass(frozen=True)
class HpssOptions:
    """The IBM HPSS backend."""

    auth: str = _option("/var/hpss/etc/hpss.unix.keytab", "the keytab of the service's HPSS user")
    mechanism: str = _option("unix", "how HPSS authenticates the user: `unix` or `krb5`", _one_of("unix", "krb5"))
    sitename: str = _option("example.com", "the site name of the HPSS realm")
    user: str = _option("hpss", "the HPSS user that owns the archive")
    accept_latency: float = _option(
        "5", "seconds that the core server may take to answer before 503", _at_least(0, float)
    )
    library: str = _option("/opt/hpss/lib/libhpss.so", "the client library of HPSS")
    retries: int = _option("1", "how often the client library tries a lost connection again", _at_least(0, int))
    busy_delay: int = _option("2", "seconds that it waits before it asks a busy server again", _at_least(0, int))
    busy_retries: int = _option("3", "how often it asks a busy server again", _at_least(0, int))
    calls: int = _option("16", "how many reads and writes of HPSS may be under way at a time", _at_least(1, int))
    call_timeout: float = _option(
        "600",
        "seconds that one read or write may take before 503; longer than a tape takes to be read",
        _at_least(0, float),
    )
    metadata_calls: int = _option("8", "how many other calls to HPSS may be under way at a time", _at_least(1, int))
    metadata_timeout: float = _option("30", "seconds that one of these may take before 503", _at_least(0, float))
    waiting: int = _option(
        "75",
        "how many requests may wait for HPSS at a time, others are 503; less than the server has threads",
        _at_least(1, int),
    )
    cos_id: int = _option("0", "the class of service of new files; 0 lets HPSS choose by their size", _at_least(0, int))
    family_id: int = _option("0", "the file family of new files; 0 for none", _at_least(0, int))
    io_block_size: int = _option("4194304", "bytes that one read or write asks HPSS for", _at_least(1, int))
    callback_address: tuple[str, int] | None = _option(
        "", "`host:port` that HPSS tells of recalls that ended, for sites with a program there", _host_and_port
    )
    stage_timeout: float = _option(
        "3600", "seconds that a GET waits for a recall with `offline_read = wait` before 503", _at_least(0, float)
    )


@dataclass(frozen=True)
class HsmSidebandOptions:
    """The Oracle HSM (SAM-QFS) backend and its sideband database."""

    sam_qfs_prefix: str = _option(
        "/hsm/prefix", "the path of the prefix below the mount point, as the database has it: `/` for the whole mount"
    )
    schema: str = _option("schema_name", "the name of the sideband database")
    host: str = _option("host", "the host of the database server")
    user: str = _option("user", "the database account; SELECT on the schema suffices")
    password: str = _option("pass", "its password")
    password_file: str = _option("", "a file whose first line is the password; it beats `password`")
    password_env: str = _option("", "the environment variable that holds the password; it beats the other two")
    port: int = _option("3306", "the port of the database server", _port)
    unix_socket: str = _option("", "the socket of a database server on this machine; it beats `host` and `port`")
    tls: str = _option(
        "preferred",
        "encryption of the connections: `off`, `preferred` (if the server offers it), `required`, `verify_ca` (the"
        " server's certificate is checked) or `verify_identity` (its host name, too)",
        _one_of("off", "preferred", "required", "verify_ca", "verify_identity"),
    )
    tls_ca: str = _option("", "the file of the authorities that may sign the server's certificate; empty: the system's")
    tls_cert: str = _option("", "the file of the certificate that the service shows to the server")
    tls_key: str = _option("", "the file of its private key; empty: it is in `tls_cert`")
    pool_size: int = _option("10", "how many connections a process of the service may open", _at_least(1, int))
    connect_timeout: float = _option("2", "seconds to wait for a connection", _at_least(1, float))
    read_timeout: float = _option("2", "seconds to wait for an answer of the database", _at_least(1, float))
    retry_seconds: float = _option(
        "5", "seconds without a question after the database did not answer", _at_least(0, float)
    )
    residency: str = _option(
        "auto",
        "what is asked whether a file is on disk: `sam_stat` (libsam), `database`, the allocated `blocks`, or `auto`,"
        " the first of these that has an answer",
        _one_of("auto", "database", "sam_stat", "blocks"),
    )
    stager: str = _option(
        "auto",
        "how files are recalled: through `libsam`, by `command`, by `read` (of the last byte, in the background), or"
        " `auto`, the first of these that this server has",
        _one_of("auto", "libsam", "command", "read"),
    )
    libsam: str = _option("/opt/SUNWsamfs/lib/libsam.so", "the library for `sam_stat` and `libsam`")
    stage_command: tuple[str, ...] = _option(
        "", "the command for `command`, without a shell; the path becomes its last argument", _words
    )
    stage_timeout: float = _option(
        "60",
        "seconds after which a stage command that has not ended is killed, with its children",
        _at_least(0.1, float),
    )
    stage_batch: int = _option(
        "1", "how many paths one call of the stage command may get; only with `stager = command`", _at_least(1, int)
    )
    stage_read_timeout: float = _option(
        "3600", "seconds that `read` waits for the tape before the recall counts as failed", _at_least(0.1, float)
    )
    recall_threads: int = _option("8", "how many recalls a process may wait for at a time", _at_least(1, int))
    recall_queue: int = _option(
        "200000",
        "how many files may wait in a process until it can ask for their recall; a request for one more is 503",
        _at_least(1, int),
    )


@dataclass(frozen=True)
class Config:
    """All options, one attribute a section."""

    archive: ArchiveOptions = field(default_factory=ArchiveOptions)
    http: HttpOptions = field(default_factory=HttpOptions)
    posix: PosixOptions = field(default_factory=PosixOptions)
    hpss: HpssOptions = field(default_factory=HpssOptions)
    hsm_sideband: HsmSidebandOptions = field(default_factory=HsmSidebandOptions)


def sections() -> dict[str, type]:
    """Return the dataclass of each section's options, by the section's name."""
    return get_type_hints(Config)


def options(section: type) -> Iterator[tuple[str, str, str]]:
    """Yield name, default as written in config.ini and meaning of each option of *section*."""
    for option in fields(section):
        yield option.name, option.metadata["text"], option.metadata["meaning"]


def get_config(path: str | None = None) -> Config:
    """Return the options in the file at *path*, defaults for those it does not set.

    Without *path*, the file named by ARCHIVEINTERFACE_CONFIG or the one in the home directory
    is read. Raises ConfigurationError, naming file, section, key and value, when the file was
    named and is not there, is not a configuration file, or holds an unknown key or a bad value.
    """
    named = path or os.getenv("ARCHIVEINTERFACE_CONFIG")
    place = named or CONFIG_FILE
    if not named and not Path(place).exists():
        return Config()
    return _parse(place, read_text(place))


def read_text(path: str) -> str:
    """Return the text of the configuration file at *path*. Raises ConfigurationError."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'unreadable').lower()}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a text file in UTF-8") from error


def malformed(place: str, error: configparser.Error) -> ConfigurationError:
    """Return what *error* says of the file *place*, without the text of its lines: a line may hold a password."""
    if isinstance(error, configparser.DuplicateOptionError):
        return ConfigurationError(f"{place}: line {error.lineno}: [{error.section}] {error.option} is set twice")
    if isinstance(error, configparser.DuplicateSectionError):
        return ConfigurationError(f"{place}: line {error.lineno}: section [{error.section}] begins twice")
    if isinstance(error, configparser.MissingSectionHeaderError):
        return ConfigurationError(f"{place}: line {error.lineno}: a line before the first [section]")
    if isinstance(error, configparser.InterpolationError):
        return ConfigurationError(f"{place}: [{error.section}] {error.option}: a % stands before neither % nor (name)s")
    lines = ", ".join(str(number) for number, _ in getattr(error, "errors", ()))
    return ConfigurationError(f"{place}: line {lines}: neither a [section] nor an option with a value")


def _parse(place: str, text: str) -> Config:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, place)
    except configparser.Error as error:
        raise malformed(place, error) from None
    known = sections()
    for name in parser.sections():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            advice = f"; did you mean [{nearest[0]}]?" if nearest else ""
            _log.warning("%s: unknown section [%s] is ignored%s", place, name, advice)
    return Config(**{name: _section(place, parser, name, kind) for name, kind in known.items()})


def _section(place: str, parser: configparser.ConfigParser, name: str, kind: type) -> Any:
    table: dict[str, Field[Any]] = {option.name: option for option in fields(kind)}
    values = {}
    for key, text in parser[name].items() if name in parser else ():
        if key not in table:
            raise ConfigurationError(f"{place}: [{name}] has no option {key!r}; it knows {', '.join(table)}")
        try:
            values[key] = table[key].metadata["parse"](text)
        except ValueError as error:
            raise ConfigurationError(f"{place}: [{name}] {key} = {text!r} is not {error}") from error
    return kind(**values)
