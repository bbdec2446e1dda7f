"""The control command: ``python -m tests.samqfs_emulator ROOT VERB ...``."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.samqfs_emulator.daemons import Daemons
from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.library import Settings
from tests.samqfs_emulator.updater import Switches, Updater


def main(arguments: list[str] | None = None) -> int:
    """Do what *arguments* say and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.act(SamQfs(options.root), options)
    except OSError as error:
        print(f"samqfs_emulator: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="samqfs_emulator", description="A SAM-QFS mount over ROOT/mount.")
    parser.add_argument("root", type=Path, help="the directory of the emulator")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for act, text in (
        (_archive, "make an archive copy"),
        (_release, "drop the blocks of archived files"),
        (_stage, "bring files back to disk"),
        (_tape, "archive and release"),
        (_status, "say what is known of files"),
        (_damage, "mark a copy as damaged"),
        (_unarchive, "forget a copy"),
    ):
        verb = verbs.add_parser(act.__name__[1:], help=text)
        verb.add_argument("paths", nargs="+", type=Path, help="below the mount")
        verb.add_argument("--copy", type=int, default=1, choices=(1, 2, 3, 4))
        verb.add_argument("--media", default="li")
        verb.add_argument("--vsn", default="", help="the library chooses one")
        verb.add_argument("--sections", type=int, default=1)
        verb.add_argument("--partial", type=int, default=0, metavar="KIB")
        verb.set_defaults(act=act)
    database = verbs.add_parser("create", help="make the tables")
    database.add_argument("database", help="what pymysql.connect takes, as JSON")
    database.add_argument("--offset", default="offset", choices=("offset", "off_set"))
    database.set_defaults(act=_create)
    switch = verbs.add_parser("switch", help='set switches of the updater: delay=15 stale="faithful"')
    switch.add_argument("changes", nargs="*", help=f"of {', '.join(asdict(Switches()))}; values are JSON")
    switch.set_defaults(act=_switch)
    library = verbs.add_parser("library", help="change settings of the library: drives=4 mount_seconds=60")
    library.add_argument("changes", nargs="*", help=f"of {', '.join(asdict(Settings()))}; values are JSON")
    library.set_defaults(act=_library)
    counters = verbs.add_parser("counters", help="say how many mounts, positions sought and stages there were")
    counters.set_defaults(act=_counters)
    run = verbs.add_parser("run", help="run the daemons until interrupted")
    run.set_defaults(act=_run)
    return parser


def _archive(filesystem: SamQfs, options: argparse.Namespace) -> None:
    for path in _paths(filesystem, options):
        filesystem.archive(path, options.copy, options.media, options.vsn, options.sections)


def _release(filesystem: SamQfs, options: argparse.Namespace) -> None:
    for path in _paths(filesystem, options):
        if not filesystem.release(path, options.partial):
            print(f"{path}: not released")


def _tape(filesystem: SamQfs, options: argparse.Namespace) -> None:
    _archive(filesystem, options)
    _release(filesystem, options)


def _stage(filesystem: SamQfs, options: argparse.Namespace) -> None:
    for path in _paths(filesystem, options):
        filesystem.stage(path)


def _damage(filesystem: SamQfs, options: argparse.Namespace) -> None:
    for path in _paths(filesystem, options):
        filesystem.damage(path, options.copy)


def _unarchive(filesystem: SamQfs, options: argparse.Namespace) -> None:
    for path in _paths(filesystem, options):
        filesystem.unarchive(path, options.copy)


def _status(filesystem: SamQfs, options: argparse.Namespace) -> None:
    for path in _paths(filesystem, options):
        print(path, json.dumps(asdict(filesystem.status(path))))


def _create(filesystem: SamQfs, options: argparse.Namespace) -> None:
    filesystem.state.keep("database", {"connect": json.loads(options.database), "offset": options.offset})
    updater = _updater(filesystem)
    if updater:
        updater.create_tables()


def _switch(filesystem: SamQfs, options: argparse.Namespace) -> None:
    updater = Updater(filesystem, {})
    updater.switch(**_changes(options))
    print(json.dumps(asdict(updater.switches)))


def _library(filesystem: SamQfs, options: argparse.Namespace) -> None:
    filesystem.library.change(**_changes(options))
    print(json.dumps(asdict(filesystem.library.settings)))


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    pairs = (change.partition("=") for change in options.changes)
    return {name: json.loads(value) for name, _, value in pairs}


def _counters(filesystem: SamQfs, options: argparse.Namespace) -> None:
    print(json.dumps(filesystem.counters()))


def _run(filesystem: SamQfs, options: argparse.Namespace) -> None:
    try:
        Daemons(filesystem, _updater(filesystem)).run()
    except KeyboardInterrupt:
        return


def _updater(filesystem: SamQfs) -> Updater | None:
    known = filesystem.state.read("database", None)
    return Updater(filesystem, known["connect"], known["offset"]) if known else None


def _paths(filesystem: SamQfs, options: argparse.Namespace) -> list[Path]:
    paths = [path if path.is_absolute() else filesystem.mount / path for path in options.paths]
    return [path.resolve() for path in paths]


if __name__ == "__main__":
    sys.exit(main())
