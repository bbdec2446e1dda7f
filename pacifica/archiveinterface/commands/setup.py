"""The command ``setup``: writes the files that this host needs, and says how to install them."""

import argparse
import grp
import os
import pwd
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from ..backends.factory import ArchiveBackendFactory
from ..exception import ConfigurationError
from ..options import Parser, one_of, port
from .host_files import SERVERS, UWSGI, Host, HostFile, check_options, write_files

_HOME = "/var/lib/pacifica-archiveinterface"  # of the account; the units have it as their StateDirectory
_LAST_PORT = 65535
_HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # from the units


def _words(meaning: str, pattern: str) -> Parser:
    """Return the parser of texts of this *pattern*: the files need not quote them."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(meaning)
        return text

    return parse


def _address(text: str) -> str:
    with suppress(ValueError):
        return str(ip_address(text))
    raise ValueError("an IP address")


class _Question(NamedTuple):
    """What a host needs to be known: the option that says it, the question for it, and the answer that is usual."""

    option: str
    text: str
    usual: str
    parse: Parser

    def answer(self, given: str | None, *, asks: bool) -> Any:
        """Return what was *given*, or else what the terminal answers if it *asks*, or else what is usual."""
        if given is None:
            return self._ask() if asks else self.parse(self.usual)
        try:
            return self.parse(given)
        except ValueError as error:
            raise ConfigurationError(f"{self.option} {given!r} is not {error}") from error

    def _ask(self) -> Any:
        while True:
            text = input(f"{self.text} [{self.usual}]: ").strip() or self.usual
            try:
                return self.parse(text)
            except ValueError as error:
                print(f"{text!r} is not {error}")


def _questions() -> dict[str, _Question]:
    backends = ArchiveBackendFactory.names()
    path = _words("an absolute path or a URL, of letters, digits and ._/:@+-", r"(/|\w+://)[\w./:@+-]+")
    return {
        "type": _Question("--type", f"Backend ({', '.join(backends)})", "posix", one_of(*backends)),
        "prefix": _Question("--prefix", "Directory of the files, or s3://bucket/path", "/srv/archive", path),
        "user": _Question(
            "--user", "Account of the service", "pacifica", _words("the name of an account", r"[a-z_][\w.-]*")
        ),
        "address": _Question("--address", "Address to listen on", "127.0.0.1", _address),
        "port": _Question("--port", "Port to listen on", "8080", port),
        "server": _Question("--server", f"Server ({', '.join(SERVERS)})", "launcher", one_of(*SERVERS)),
        "nginx": _Question(
            "--nginx", "Host name of a site of nginx, or nothing", "", _words("a host name", r"[\w.-]*")
        ),
        "output": _Question("--output", "Directory to write the files into", "archive-setup", str),
    }


def add_setup_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``setup``; those that all commands have are not among them."""
    parser.add_argument("--user", metavar="NAME", help="account of the service (default pacifica)")
    parser.add_argument("-a", "--address", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("-p", "--port", help="port to listen on (default 8080)")
    parser.add_argument("--server", metavar="SERVER", help=f"{' or '.join(SERVERS)} (default launcher)")
    parser.add_argument("--nginx", metavar="NAME", help="write a site of nginx for this host name, too")
    parser.add_argument("--output", metavar="DIRECTORY", help="where to write the files (default archive-setup)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.OPTION=VALUE", help="an option of config.ini"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist in the output directory")


def setup(given: argparse.Namespace) -> int:
    """Write the files and print what to type next; return 0.

    On a terminal, what was not *given* is asked for. Raises ConfigurationError.
    """
    if given.config:
        raise ConfigurationError("setup writes a new config.ini: --config has no effect")
    options = dict(_assigned(text) for text in given.set)
    check_options(options)
    answers = _answers(given)
    output = Path(answers["output"]).absolute()
    host = _host(answers, options)
    written = write_files(host, output, replace=given.force)
    _warn_of_hidden(sys.prefix, host.prefix)
    print(f"{output} has {', '.join(file.name for file in written)}.")
    print(
        "Read config.ini: what it says of names, digests and durability is laborious to change later. Then, as root:\n"
    )
    print("\n".join(_commands(host, output, written)))
    return 0


def _answers(given: argparse.Namespace) -> dict[str, Any]:
    asks = sys.stdin.isatty()
    try:
        return {name: question.answer(getattr(given, name), asks=asks) for name, question in _questions().items()}
    except EOFError as error:
        raise ConfigurationError("the terminal was closed before all questions were answered") from error


def _assigned(text: str) -> tuple[tuple[str, str], str]:
    found = re.fullmatch(r"(\w+)\.(\w+)=([^\n\r]*)", text)
    if not found:
        raise ConfigurationError(f"--set {text!r} is not section.option=value")
    return (found[1], found[2]), found[3]


def _host(answers: Mapping[str, Any], options: Mapping[tuple[str, str], str]) -> Host:
    backend, prefix = answers["type"], answers["prefix"]
    if (backend == "s3") != ("://" in prefix):
        raise ConfigurationError(f"--prefix {prefix!r} is not a place of the backend {backend}")
    if answers["server"] == UWSGI and answers["port"] == _LAST_PORT:
        raise ConfigurationError(f"--port {_LAST_PORT}: uWSGI listens on the next port, too, for uploads")
    return Host(
        backend=backend,
        prefix=prefix,
        user=answers["user"],
        group=_group_of(answers["user"]),
        address=answers["address"],
        port=answers["port"],
        server=answers["server"],
        processes=len(os.sched_getaffinity(0)),
        site=answers["nginx"],
        options=options,
    )


def _warn_of_hidden(*places: str) -> None:
    for place in places:
        if place.startswith(_HIDDEN):
            print(f"the service cannot use {place}: its unit hides {', '.join(_HIDDEN)}", file=sys.stderr)


def _group_of(user: str) -> str:
    """Return the name of the group of *user*; of an account that is not there yet, it has the same name."""
    if not _exists(user):
        return user
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _exists(user: str) -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwnam(user))
    return False


def _commands(host: Host, output: Path, written: Sequence[HostFile]) -> Iterator[str]:
    """Yield what to type as root to install what was *written* into *output*."""
    if not _exists(host.user):
        yield f"useradd --system --user-group --no-create-home --home-dir {_HOME} {host.user}"
    directories = " ".join(filter(None, [host.directory, _HOME]))
    yield f"install -d -m 750 -o {host.user} -g {host.group} {directories}"
    for file in written:
        group = f" -g {host.group}" if file.mode == 0o640 else ""
        yield f"install -D -m {file.mode:o}{group} {shlex.quote(str(output / file.name))} {file.path}"
    if host.server == UWSGI and not Path(sys.prefix, "bin", "uwsgi").exists():
        yield f"{sys.prefix}/bin/pip install uwsgi"
    yield "systemctl daemon-reload"
    yield f"systemctl enable --now {' '.join(host.units)}"
    if host.sends_by_nginx:
        yield f"# The user of nginx has to be in the group {host.group}."
    if host.site:
        yield "nginx -t && systemctl reload nginx"
