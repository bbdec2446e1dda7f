"""The control command: ``python -m tests.hpss_simulator build 9.3 PREFIX``, then migrate, purge and the rest."""

import argparse
from pathlib import Path

from tests.hpss_simulator import FLAVOURS, Simulator, build


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tests.hpss_simulator", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("build", help="compile one flavour into a prefix")
    one.add_argument("flavour", choices=list(FLAVOURS))
    one.add_argument("prefix", type=Path)
    for verb, operands in OPERANDS.items():
        one = verbs.add_parser(verb, help=HELP[verb])
        one.add_argument("prefix", type=Path)
        one.add_argument("--root", type=Path, help="the archive, if not PREFIX/archive")
        one.add_argument("--names", type=Path, help="where its names show, if not ROOT/names")
        for operand in operands:
            one.add_argument(operand, nargs="*" if operand == "lines" else None)
    return top


OPERANDS: dict[str, list[str]] = {
    "demo": [],
    "keytab": ["principal"],
    "mkdir": ["path"],
    "migrate": ["path"],
    "purge": ["path"],
    "damage": ["path", "offset"],
    "advance": ["seconds"],
    "expire": [],
    "set": ["name", "value"],
    "inject": ["lines"],
    "show": ["path"],
    "counters": [],
}
HELP = {
    "demo": "make an archive to try, with a tape that takes five seconds, and PREFIX/config.ini",
    "keytab": "write the keytab of a principal",
    "mkdir": "make a directory",
    "migrate": "copy a file to its lower levels",
    "purge": "drop a file's disk copies",
    "damage": "make a file's tape copy unreadable from a byte on",
    "advance": "put the archive's clock forward",
    "expire": "let every login run out",
    "set": "change a setting",
    "inject": "set the failures; none: no failures",
    "show": "print what is known of a file",
    "counters": "print recalls, mounts, seeks, open descriptors, blocks not freed, misuse",
}


def run(options: argparse.Namespace) -> None:
    if options.verb == "build":
        print(build(options.flavour, options.prefix.absolute()))
        return
    prefix = options.prefix.absolute()
    simulator = Simulator(prefix / "lib" / "libhpss.so", options.root or prefix / "archive", options.names)
    match options.verb:
        case "demo":
            make_demo(simulator, prefix)
        case "keytab":
            print(simulator.write_keytab(options.principal))
        case "mkdir":
            simulator.mkdir(options.path)
        case "damage":
            simulator.damage(options.path, int(options.offset))
        case "advance":
            simulator.advance(float(options.seconds))
        case "set":
            simulator.set(options.name, options.value)
        case "inject":
            simulator.inject(*options.lines)
        case "show":
            print_fields(simulator.show(options.path))
        case "counters":
            print_fields(simulator.counters())
        case "expire":
            simulator.expire()
        case "migrate":
            simulator.migrate(options.path)
        case "purge":
            simulator.purge(options.path)


def make_demo(simulator: Simulator, prefix: Path) -> None:
    keytab = simulator.write_keytab()
    simulator.mkdir("/archive")
    simulator.set("mount_seconds", 5)
    text = f"[hpss]\nlibrary = {simulator.library}\nauth = {keytab}\nsitename = sim\n"
    text += f"[recalls]\ndatabase = sqlite:///{prefix.resolve()}/recalls.sqlite3\nquiet_seconds = 1\npoll_seconds = 1\n"
    (prefix / "config.ini").write_text(text)


def print_fields(fields: dict[str, str] | dict[str, int]) -> None:
    for name, value in fields.items():
        print(f"{name}={value}")


if __name__ == "__main__":
    run(parser().parse_args())
