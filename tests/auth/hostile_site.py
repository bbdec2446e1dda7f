"""A service with users, as a process of its own, and clients that send what no library would."""

import base64
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import bcrypt

from pacifica.archiveinterface.auth.files.tokens import new_token
from pacifica.archiveinterface.id2filename import id2filename
from tests.support.forked import forked_launcher
from tests.support.processes import Server, uwsgi
from tests.support.service import TIMEOUT, stored_files

PERMISSIONS = """
admin = read, write, replace, stage, poll, delete, move, admin
bob = read 5
reader = read 1000-1999
looker = stat 1000-1999
writer = write 1000-1999
replacer = replace 1000-1999
stager = stage, poll 1000-1999
rival = stage, poll 2000-2999
deleter = delete 1000-1999
mover = move 1000-1999
last = read 9223372036854775807
"""
NOBODY = "nobody"  # has a token, and no permission
TOKEN_USERS = [*re.findall(r"^(\w+) =", PERMISSIONS, re.MULTILINE), NOBODY]
PASSWORD = "pass word: 7"
SECRET = b"what only the administrator may read"
# Ids of files that are there; 6 and 1500 are free.
STORED = ("5", "999", "1000", "1999", "2000", "9223372036854775806", "9223372036854775807")
TREE = ("[posix]", "use_id2filename = true")


class Answer(NamedTuple):
    """What comes back: the status, the whole head, and the body."""

    status: int
    head: bytes
    body: bytes

    @property
    def lasting(self) -> tuple[bytes, bytes]:
        """Head and body without what differs from one request to the next: the date and the id of the request."""
        return re.sub(rb"(?im)^(date|x-request-id): .*\r\n", b"", self.head), self.body


class Site(NamedTuple):
    """The service, where its files are, and the token of each user; *is_tree*: below directories."""

    server: Server
    home: Path
    tokens: dict[str, str]
    is_tree: bool

    @property
    def prefix(self) -> Path:
        """Where the files are."""
        return self.home / "archive"

    def path_of(self, file_id: str) -> str:
        """Return where the file is, below the prefix."""
        return _path_of(file_id, self.is_tree)

    def connected(self) -> socket.socket:
        """Return a connection to the service."""
        host, _, port = self.server.url.rpartition("/")[2].partition(":")
        return socket.create_connection((host, int(port)), TIMEOUT)

    def bearer(self, user: str) -> str:
        """Return the line of the head that says who *user* is."""
        return f"Authorization: Bearer {self.tokens[user]}"

    def ask(
        self, user: str | None, method: str, path: str, headers: Sequence[str] = (), body: bytes | None = None
    ) -> Answer:
        """Send a request of *user*, None for nobody, with *path* and *headers* as they are."""
        lines = [f"{method} {path} HTTP/1.1", "Host: archive", "Connection: close", *headers]
        if user:
            lines.append(self.bearer(user))
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    def send(self, request: bytes) -> Answer:
        """Send *request* as it is, and return the answer."""
        with self.connected() as connection:
            connection.sendall(request)
            return answer_on(connection)

    def stored(self) -> dict[str, bytes]:
        """Return the content of the files by their paths below the prefix."""
        return {str(path.relative_to(self.prefix)): path.read_bytes() for path in stored_files(self.prefix)}


def _path_of(file_id: str, is_tree: bool) -> str:
    return id2filename(int(file_id)).lstrip("/") if is_tree else file_id


def answer_on(connection: socket.socket) -> Answer:
    """Return the answer that arrives before the *connection* ends."""
    received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), head + b"\r\n", body)


def basic(name: str, password: str) -> str:
    """Return the value of Authorization for *name* and *password*."""
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def write_site(home: Path, *more: str) -> dict[str, str]:
    """Write the files of a service with users into *home*, with *more* of config.ini; return the tokens."""
    tokens = {user: new_token(user, None) for user in TOKEN_USERS}
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (home / "permissions").write_text(PERMISSIONS)
    (home / "passwords").write_text(f"bob:{hashed}\n")
    (home / "tokens").write_text("".join(f"{token.line()}\n" for token, _ in tokens.values()))
    files = {"permissions_file": "permissions", "password_file": "passwords", "token_file": "tokens"}
    named = [f"{option} = {home}/{name}" for option, name in files.items()]
    (home / "config.ini").write_text("\n".join(["[auth]", "enabled = true", *named, *more, ""]))
    return {user: text for user, (_, text) in tokens.items()}


@contextmanager
def hostile_site(home: Path, kind: str, *more: str) -> Iterator[Site]:
    """Run a service with users until the block is left, with *more* of config.ini."""
    tokens, is_tree = write_site(home, *more), TREE[1] in more
    for name in STORED:
        path = home / "archive" / _path_of(name, is_tree)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SECRET)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    environment = {"ARCHIVEINTERFACE_CONFIG": str(home / "config.ini")}
    # uWSGI's own log would have the query of each request; a head that is longer than its buffer gets no answer.
    start, options = (uwsgi, ["--disable-logging", "--buffer-size=65535"]) if kind == "uwsgi" else (forked_launcher, [])
    with start(home / "archive", *options, env=environment) as server:
        yield Site(server, home, tokens, is_tree)
