"""The files of ``deploy/`` as one host needs them: with its account, directories and addresses.

They are tested as they stand there. Each text that differs between hosts is replaced, and one that is not found in a
file that should have it is an error.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..config import built_in_sections
from ..exception import ConfigurationError
from ..options import absolute_paths, parse_options

LAUNCHER = "launcher"
UWSGI = "uwsgi"
SERVERS = (LAUNCHER, UWSGI)

_PACKAGE = __name__.rpartition(".commands.")[0]
_NAME = "pacifica-archiveinterface"

# What the files call that which differs between hosts.
_PROGRAMS = "/opt/pacifica-archiveinterface"
_BACKEND = "PAI_BACKEND_TYPE=posix\n"
_PREFIX = "PAI_PREFIX=/srv/archive\n"
_MOUNT_REASON = "# Without the file system of the archive, files would go to the empty directory it is mounted on.\n"
_MOUNT = "RequiresMountsFor=/srv/archive\n"
_WRITABLE = "ReadWritePaths=/srv/archive\n"
_USER = "User=pacifica\n"
_GROUP = "Group=pacifica\n"
_ROTATION = "su pacifica pacifica\n"
_LISTENING = "-a 127.0.0.1 -p 8080"
_PROCESSES = "--processes 2"
_HOST = 'server.socket_host: "127.0.0.1"\n'
_PORT = "server.socket_port: 8080\n"
_PLACE = "127.0.0.1:8080"
_PLACE_OF_UPLOADS = "127.0.0.1:8081"
_UPLOADS = f"server {_PLACE};  # uWSGI: 8081\n"
_SITE = "archive.example.com"
_INCLUDE = "# include /etc/nginx/nginx-sendfile.conf;"
_FILES = "alias /srv/archive/;"
_SCRUB = f"{_NAME}-scrub"
_IN_UNITS = (_PROGRAMS, _MOUNT, _WRITABLE, _USER, _GROUP)


@dataclass(frozen=True)
class Host:
    """What the files of a host are made from.

    *prefix* is a directory, or what stands for one in the storage. *site* is the name of the site of nginx, empty where
    there is none. *options* are those of config.ini that are not the default, by section and name.
    """

    backend: str
    prefix: str
    user: str
    group: str
    address: str
    port: int
    server: str
    processes: int
    site: str
    options: Mapping[tuple[str, str], str]

    @property
    def directory(self) -> str | None:
        """The directory of the archive on this host; None if the storage is elsewhere."""
        return None if "://" in self.prefix or self.backend == "hpss" else self.prefix

    @property
    def writable(self) -> str:
        """The directories that the service writes to: that of the archive, and those that files are moved in from."""
        roots = absolute_paths(self.options.get(("archive", "move_roots"), ""))
        return " ".join([self.directory, *roots] if self.directory else roots)

    @property
    def sends_by_nginx(self) -> bool:
        """Whether nginx sends whole files."""
        return bool(self.site) and self.options.get(("http", "sendfile")) == "x-accel-redirect"

    @property
    def unit(self) -> str:
        """The name of the systemd unit of the service."""
        return _NAME if self.server == LAUNCHER else f"{_NAME}-{self.server}"

    @property
    def units(self) -> list[str]:
        """The names of the units to start; the scrub of an archive that is elsewhere may cost money, and waits."""
        return [self.unit, f"{_SCRUB}.timer"] if self.directory else [self.unit]


@dataclass(frozen=True)
class HostFile:
    """A file of ``deploy/``, the path it goes to and its mode there, and which texts in it are replaced."""

    name: str
    path: str
    mode: int
    replaced: tuple[str, ...] = ()

    def text(self, host: Host) -> str:
        """Return the text of the file for *host*."""
        text = (files(_PACKAGE) / "deploy" / self.name).read_text(encoding="utf-8")
        for shown in self.replaced:
            if shown not in text:
                raise _missing(self.name, shown)
        for shown, real in _changes(host).items():
            text = text.replace(shown, real)
        return _with_options(text, host.options) if self.name == "config.ini" else text


def host_files(host: Host) -> Iterator[HostFile]:
    """Yield the files that *host* needs."""
    yield _setting("config.ini")
    yield _setting("server.conf", _HOST, _PORT)
    yield _setting("archiveinterface.env", _BACKEND, _PREFIX)
    if host.server == UWSGI:
        yield _setting("uwsgi.ini", _PLACE, _PLACE_OF_UPLOADS)
    listening = (_LISTENING, _PROCESSES) if host.server == LAUNCHER else ()
    yield _unit(f"{host.unit}.service", *_IN_UNITS, *listening)
    yield _unit(f"{_SCRUB}.service", *_IN_UNITS)
    yield _unit(f"{_SCRUB}.timer")
    yield HostFile("logrotate.conf", f"/etc/logrotate.d/{_NAME}", 0o644, (_ROTATION,))
    if host.site:
        yield HostFile("nginx.conf", f"/etc/nginx/conf.d/{_NAME}.conf", 0o644, (_PLACE, _UPLOADS, _SITE, _INCLUDE))
    if host.sends_by_nginx:
        yield HostFile("nginx-sendfile.conf", "/etc/nginx/nginx-sendfile.conf", 0o644, (_FILES,))


def _setting(name: str, *replaced: str) -> HostFile:
    return HostFile(name, f"/etc/pacifica/{name}", 0o640, replaced)  # it may hold a password


def _unit(name: str, *replaced: str) -> HostFile:
    return HostFile(name, f"/etc/systemd/system/{name}", 0o644, replaced)


def check_options(options: Mapping[tuple[str, str], str]) -> None:
    """Raise ConfigurationError unless config.ini may have all *options*."""
    sections = built_in_sections()
    for (section, name), text in options.items():
        if section not in sections:
            raise ConfigurationError(f"--set: there is no section [{section}]; the sections are {', '.join(sections)}")
        parse_options(f"--set: [{section}]", sections[section], {name: text})


def _changes(host: Host) -> dict[str, str]:
    """Return what stands on *host* instead of what the files say; the first changes go before the others."""
    place = f"[{host.address}]" if ":" in host.address else host.address
    local = host.directory
    return {
        _PROGRAMS: sys.prefix,
        _BACKEND: f"PAI_BACKEND_TYPE={host.backend}\n",
        **({} if local else {_MOUNT_REASON: "", _MOUNT: ""}),
        _WRITABLE: f"ReadWritePaths={host.writable}\n",
        "/srv/archive": host.prefix,
        _USER: f"User={host.user}\n",
        _GROUP: f"Group={host.group}\n",
        _ROTATION: f"su {host.user} {host.group}\n",
        "the user pacifica": f"the user {host.user}",
        _LISTENING: f"-a {host.address} -p {host.port}",
        _PROCESSES: f"--processes {host.processes}",
        _HOST: f'server.socket_host: "{host.address}"\n',
        _PORT: f"server.socket_port: {host.port}\n",
        _UPLOADS: f"server {_PLACE_OF_UPLOADS if host.server == UWSGI else _PLACE};\n",
        _PLACE: f"{place}:{host.port}",
        _PLACE_OF_UPLOADS: f"{place}:{host.port + 1}",
        _SITE: host.site,
        **({_INCLUDE: _INCLUDE.removeprefix("# ")} if host.sends_by_nginx else {}),
    }


def _with_options(text: str, options: Mapping[tuple[str, str], str]) -> str:
    """Return the *text* of config.ini with *options* in the place of the defaults."""
    for (section, name), value in options.items():
        pattern = rf"(^\[{section}\]\n(?:[^\[\n].*\n)*?{name} =).*$"
        found = re.search(pattern, text, re.MULTILINE)
        if not found:
            raise _missing("config.ini", f"[{section}] {name}")
        text = f"{text[: found.end(1)]} {value}{text[found.end() :]}"
    return text


def _missing(name: str, shown: str) -> ConfigurationError:
    return ConfigurationError(f"the file {name} of this installation has no {shown.strip()!r}")


def write_files(host: Host, output: Path, *, replace: bool) -> list[HostFile]:
    """Write the files of *host* into the directory *output*, which is made, and return them.

    Raises ConfigurationError when one cannot be written, or exists and *replace* is false; then none is written.
    """
    texts = {file: file.text(host) for file in host_files(host)}
    existing = [file.name for file in texts if (output / file.name).exists()]
    if existing and not replace:
        raise ConfigurationError(f"{output} already has {', '.join(existing)}; --force replaces them")
    try:
        output.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            place = output / file.name
            place.touch(0o600)
            place.chmod(file.mode)
            place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {(error.strerror or '').lower()}") from error
    return list(texts)
