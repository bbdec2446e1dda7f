"""The command ``pacifica-archiveinterface-cmd``, the administrator's tool."""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..archive_utils import un_abs_path
from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import ArchiveInterfaceError, ConfigurationError
from ..http.changes import deleted
from ..printing import printable
from ..web.logs import form_log, log_to_stderr
from .audit import add_audit_commands
from .auditing import audited
from .convert import add_convert_options, check_layout, convert
from .inventory import add_list_options, list_files
from .manifest import add_export_options, add_import_options, export, import_manifest
from .queues import add_queues_options, show_queues
from .quota import add_quota_options, quota
from .recaller import work
from .setup import add_setup_options, setup
from .stage import add_release_options, add_stage_options, release, stage
from .startup import INTERRUPTED, Site, choose, common_options, fail
from .users import Add, add_token_commands, add_user_commands
from .verify import INCOMPLETE, verify

_ADMIN = "pacifica-archiveinterface-cmd"

Action = Callable[[Site, argparse.Namespace], int]
Siteless = Callable[[argparse.Namespace], int]


def cmd(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the administrator's tool and return the exit code.

    0 when all went well, 1 when not, 2 for a wrong configuration, 3 when the storage failed,
    130 when interrupted.
    """
    given = _admin_parser().parse_args(arguments)
    log_to_stderr()
    try:
        if given.is_siteless:
            return int(given.action(given))
        _require_prefix(given)
        choice = choose(given.type, given.prefix, given.config)
        form_log(choice.config.log.format)
        return run(choice.site(), given)
    except ConfigurationError as error:
        return fail(_ADMIN, error)
    except ArchiveInterfaceError as error:
        fail(_ADMIN, error)
        return INCOMPLETE
    except KeyboardInterrupt:
        return INTERRUPTED


def _admin_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        _ADMIN, description="Administer the archive.", parents=[common_options(default=None)]
    )
    # Options after the command override those before it. They have no default, which would override them, too.
    add_commands(parser, common_options(default=argparse.SUPPRESS))
    return parser


def _require_prefix(given: argparse.Namespace) -> None:
    if given.action is delete and not (given.prefix or os.getenv("PAI_PREFIX")):
        raise ConfigurationError("delete needs --prefix or PAI_PREFIX")


def add_commands(parser: argparse.ArgumentParser, *common: argparse.ArgumentParser) -> None:
    """Add the commands to *parser*, each with the options of *common*; `run` does what was given."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, action: Action | Siteless, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=common, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(action=action, is_siteless=False)
        return added

    _add_files(command("delete", delete, "delete files"))
    _add_verify_options(command("verify", verify, "read files and compare their digests with the stored ones"))
    add_stage_options(command("stage", stage, "have files recalled from tape"))
    add_release_options(command("release", release, "let go of files that a request keeps on disk"))
    add_queues_options(command("recalls", show_queues, "print the queues of recalls"))
    add_quota_options(command("quota", quota, "print what is stored for each principal, or count it anew"))
    command("recaller", work, "have files recalled that were asked for, until SIGTERM or SIGINT")
    setup_parser = command("setup", setup, "write the files that this host needs to run the service")
    setup_parser.set_defaults(is_siteless=True)
    add_setup_options(setup_parser)
    _add_group(commands, "user", "administer the users who have passwords", add_user_commands, common)
    _add_group(commands, "token", "administer the tokens of programs", add_token_commands, common)
    _add_status_options(command("status", _status, "print what is known of files"))
    add_list_options(command("list", list_files, "list all files, without reading any"))
    add_export_options(command("export", export, "print a manifest of all files, in the form of sha256sum"))
    add_import_options(
        command("import", import_manifest, "compare a manifest with the stored digests, and store missing ones")
    )
    command("check-layout", check_layout, "print which layout the files of the archive have")
    add_convert_options(
        command("convert", convert, "move all files to their paths in the other layout, while no service runs")
    )
    _add_group(commands, "audit", "verify the audit log, or print its head", add_audit_commands, common)


def _add_group(
    commands: Any, name: str, text: str, add_commands: Callable[[Add], None], common: Sequence[argparse.ArgumentParser]
) -> None:
    """Add commands of their own below the command *name*; they need no archive."""
    parser = commands.add_parser(name, parents=common, help=text, description=f"{text[0].upper()}{text[1:]}.")
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, action: Siteless, text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(
            name, parents=common, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        added.set_defaults(action=action, is_siteless=True)
        return added

    add_commands(add)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILES", nargs="+", help="ids, as in the URL")


def _add_status_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="+", help="ids, as in the URL")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each file")


def _add_verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="ids, as in the URL; all files when none is given")
    parser.add_argument("--rate", type=_positive, default=0.0, metavar="MB/S", help="read at most so many MB a second")
    parser.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="read so many files at a time (default 1)")
    parser.add_argument("--record", action="store_true", help="store a digest for files that have none")
    parser.add_argument("--recall", action="store_true", help="recall files from tape to read them")
    parser.add_argument(
        "--recall-timeout",
        type=_positive,
        default=3600.0,
        metavar="SECONDS",
        help="how long a recall may take before the file counts as unreadable (default 3600)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each file, then a summary")
    parser.add_argument(
        "--restart", action="store_true", help="start with the first file even if a run was interrupted"
    )
    parser.add_argument(
        "--state", metavar="FILE", help="where an interrupted run of all files remembers how far it came"
    )
    parser.add_argument("--report", metavar="FILE", help="write the result of the run to this file, as JSON")


def run(site: Site, given: argparse.Namespace) -> int:
    """Run the command that was *given*; return 0 when all went well, 1 when not. Raises ConfigurationError."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may hold what the terminal cannot show
    action: Action = given.action
    return action(site, given)


def _positive(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")


def _jobs(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")


def delete(site: Site, given: argparse.Namespace) -> int:
    """Remove the files that were *given*; return 1 when one could not be."""
    failed = 0
    for name in given.files:
        try:
            file_id = un_abs_path(name)
            with audited(site.audit, "admin delete", id=file_id) as telling:
                telling.change(deleted(file_id, site.changed(file_id).remove()))
        except ArchiveInterfaceError as error:
            print(printable(f"{name}: {error}"), file=sys.stderr)
            failed = 1
    return failed


def _status(site: Site, given: argparse.Namespace) -> int:
    failed = 0
    for name in given.ids:
        try:
            facts = _facts(site.archive, un_abs_path(name))
        except ArchiveInterfaceError as error:
            print(printable(f"{name}: {error}"), file=sys.stderr)
            failed = 1
            continue
        if given.json:
            print(json.dumps(facts))
        else:
            print("\n".join(printable(f"{key:<16} {value}") for key, value in _flat(facts)), end="\n\n")
    return failed


def _facts(archive: AbstractBackendArchive, file_id: str) -> dict[str, Any]:
    status = archive.file(file_id).status()
    residency = status.residency
    return {
        "id": file_id,
        "file": status.filepath,
        "size": status.filesize,
        "mtime": status.mtime,
        "ctime": status.ctime,
        "bytes_per_level": list(status.bytes_per_level),
        "media": status.file_storage_media,
        "locality": residency.locality.value,
        "recall": residency.recall.value,
        "places": [list(place) for place in residency.places],
        "etag": status.etag,
        "digests": {name: value.hex() for name, value in status.digests.items()},
        "damaged": status.damaged,
    }


def _flat(facts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from value.items()
        else:
            yield key, value
