"""The commands ``audit verify``, which finds what was changed in an audit log, and ``audit head``."""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from lzma import LZMAError
from operator import itemgetter
from typing import NamedTuple

from ..audit.files import head_path, log_files, log_path
from ..audit.head import HeadFile
from ..audit.keys import hashing_of
from ..audit.lines import Hashing, Place, place_in
from ..audit.options import AuditOptions
from ..audit.suspects import Finding
from ..audit.verification import CUT, NOTES, Verification
from ..exception import ConfigurationError, StorageError
from ..printing import printable
from .output import write_line
from .startup import read_config
from .users import Add

_MOST_PRINTED = 1000  # findings


def add_audit_commands(add: Add) -> None:
    """Add the commands below ``audit``."""
    added = add(
        "verify", _verify, "read the audit log, and name each line that was changed, removed, inserted or moved"
    )
    added.add_argument("files", metavar="FILE", nargs="*", help="files of one log; all in [audit] directory by default")
    added.add_argument(
        "--head",
        type=_place,
        action="append",
        default=[],
        metavar="NUMBER:HASH",
        help="what `audit head` has printed or the service has logged; may be given several times",
    )
    _add_whose(added)
    text = "print the number and the hash of the last line, to be kept where the log cannot be changed from"
    _add_whose(add("head", _print_head, text))


def _add_whose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--node", metavar="NAME", help="whose log; by default this node's, and for verify all")
    parser.add_argument("--key-file", metavar="FILE", help="the key, instead of [audit] key_file")


def _chosen(given: argparse.Namespace) -> tuple[AuditOptions, Hashing]:
    options = read_config(given.type, given.config).audit
    return options, hashing_of(options.key_file if given.key_file is None else given.key_file)


class _Log(NamedTuple):
    """The files of the log of a node, the sizes up to which they are read, and its head if it is known."""

    node: str
    paths: list[str]
    sizes: dict[str, int]
    heads: list[Place]
    problem: str = ""


def _verify(given: argparse.Namespace) -> int:
    options, hashing = _chosen(given)
    owner = given.node or options.name
    if given.files:
        return _verify_log(_Log(owner, given.files, {}, []), hashing, given.head)
    logs = list(_logs(options, hashing, given.node))
    if owner not in [log.node for log in logs] and (given.head or not logs):
        raise ConfigurationError(f"no log of {owner} is in {options.directory}")
    return max(_verify_log(log, hashing, given.head if log.node == owner else []) for log in logs)


def _logs(options: AuditOptions, hashing: Hashing, node: str | None) -> Iterator[_Log]:
    try:
        found = sorted(log_files(_directory(options)))
        for owner, files in groupby(found, itemgetter(0)):
            if node in (None, owner):
                yield _log_of(owner, [path for _, path in files], options.directory, hashing)
    except OSError as error:
        raise ConfigurationError(f"{options.directory}: {(error.strerror or 'unreadable').lower()}") from error


def _log_of(node: str, paths: list[str], directory: str, hashing: Hashing) -> _Log:
    """Return the log of *node* as it is between two writes."""
    try:
        heads = HeadFile(head_path(directory, node), node, hashing, writable=False)
    except FileNotFoundError:
        return _Log(node, paths, {}, [], "its head is missing: whether lines are missing at its end is not known")
    with closing(heads), heads.locked(fcntl.LOCK_SH):
        head, current = heads.read(), log_path(directory, node)
        sizes = {current: os.path.getsize(current)} if os.path.exists(current) else {}
    if head is None:
        return _Log(node, paths, sizes, [], "its head is not authentic: it was changed, or has another key")
    return _Log(node, paths, sizes, [head.place])


def _verify_log(log: _Log, hashing: Hashing, heads: Iterable[Place]) -> int:
    verification, problems = Verification(hashing, [*log.heads, *heads]), 0
    try:
        for finding in _with_problem(log, verification.findings(log.paths, log.sizes)):
            problems += finding.kind not in NOTES
            if problems <= _MOST_PRINTED:
                write_line(printable(f"{finding.path}:{finding.line}: {finding.kind}: {finding.text}"))
    except (OSError, EOFError, LZMAError) as error:
        raise StorageError(f"the log cannot be read: {error}") from error
    last = verification.last or Place()
    verdict = f"problems: {problems}" if problems else "no problem"
    write_line(printable(f"{log.node}: {verification.count} lines are authentic, {verdict}, the last is {last}"))
    if problems and not verification.count:
        print("no line is authentic: the key may be another one", file=sys.stderr)
    return int(problems > 0)


def _with_problem(log: _Log, findings: Iterator[Finding]) -> Iterator[Finding]:
    if log.problem:
        yield Finding(CUT, log.node, 0, log.problem)
    yield from findings


def _print_head(given: argparse.Namespace) -> int:
    options, hashing = _chosen(given)
    node = given.node or options.name
    path = head_path(_directory(options), node)
    try:
        heads = HeadFile(path, node, hashing, writable=False)
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'unreadable').lower()}") from error
    with closing(heads), heads.locked(fcntl.LOCK_SH):
        head = heads.read()
    if head is None:
        raise ConfigurationError(f"{path} is not authentic: it was changed, or has another key")
    write_line(str(head.place))
    return 0


def _directory(options: AuditOptions) -> str:
    if not options.directory:
        raise ConfigurationError("[audit] directory is empty: there is no audit log")
    return options.directory


def _place(text: str) -> Place:
    try:
        return place_in(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {error}") from error
