"""strace on a running process: the system calls that it makes, and one of them failing or the last."""

import re
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tests.support.needs import refuse_or_skip
from tests.support.service import TIMEOUT

# What may change a disk or bring a change to it, or finds and locks what is to be changed.
DISK_CALLS = (
    *("openat", "write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile", "fallocate", "ftruncate"),
    *("fsync", "fdatasync", "syncfs", "sync_file_range", "sync"),
    *("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
    *("symlink", "symlinkat", "setxattr", "fsetxattr", "removexattr", "fremovexattr"),
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "utime", "utimes", "utimensat", "flock"),
)
SYNCS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "sync")
# What reading a file needs.
READING_CALLS = (
    "openat",
    "read",
    "pread64",
    "preadv",
    "sendfile",
    "lseek",
    "fstat",
    "newfstatat",
    "statx",
    "fgetxattr",
)

_CALL = re.compile(r"\d+ +(\w+)\((.*)")
_LOG = "2<"  # standard error


class Call(NamedTuple):
    """One system call: the *number*-th of its name that its thread makes, from 1, and what it was told and said."""

    name: str
    number: int
    text: str
    thread: str

    def __str__(self) -> str:
        return f"{self.name} {self.number}: {self.text}"

    @property
    def descriptor(self) -> str:
        """The first argument, where that is a descriptor."""
        return re.split("[,)]", self.text)[0]

    @property
    def kind(self) -> str:
        """The name and the flags."""
        return " ".join([self.name, *re.findall(r"\b(?:O|LOCK)_[A-Z|_]+", self.text)])

    @property
    def changes_names_or_files(self) -> bool:
        """Whether the disk, or what the client knows of it, differs after the call; a sync counts, too."""
        if self.name == "openat":
            return "O_CREAT" in self.text
        return self.name not in ("flock", "sync_file_range")


@dataclass
class Trace:
    """What strace wrote, but for what the process logs; complete when the block of `traced` is left."""

    calls: list[Call] = field(default_factory=list)

    @property
    def hit(self) -> bool:
        """Whether a call was made to fail."""
        return any("(INJECTED)" in call.text for call in self.calls)

    @property
    def failed(self) -> int:
        """The index of the call that was made to fail. Raises StopIteration when none was."""
        return next(index for index, call in enumerate(self.calls) if "(INJECTED)" in call.text)


def require_tracing() -> None:
    """Go on if this machine lets us trace a process; skip the test if not, or fail it under CI."""
    reason = _why_nothing_is_traced()
    if reason:
        refuse_or_skip(f"no process can be traced here: {reason}")


@cache
def _why_nothing_is_traced() -> str:
    try:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other, traced(other.pid, ["read"]):
            return ""
    except OSError as error:
        return str(error)


@contextmanager
def traced(pid: int, names: Iterable[str], injection: str = "") -> Iterator[Trace]:
    """Trace the calls *names* of process *pid*, of all its threads, within the block.

    *injection* is what befalls one of them, as strace's ``inject=`` takes it: a call is
    counted for each thread from the moment the block is entered. Raises OSError when it may not.
    """
    trace = Trace()
    # A question mark: not every machine knows every call.
    command = [
        "strace",
        "-f",
        "-y",
        "-p",
        str(pid),
        "-s",
        "32",
        "-e",
        "trace=" + ",".join(f"?{name}" for name in names),
    ]
    if injection:
        command += ["-e", f"inject={injection}"]
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "calls"
        with subprocess.Popen([*command, "-o", str(output)], stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr
            first = strace.stderr.readline()
            if "attached" not in first:
                raise OSError(first + strace.stderr.read())
            try:
                yield trace
            finally:
                strace.send_signal(signal.SIGTERM)  # it lets go of the process
                strace.communicate(timeout=TIMEOUT)
        trace.calls += _calls_in(output.read_text(errors="replace"))


def ends_of_runs(calls: Iterable[Call]) -> Iterator[Call]:
    """Yield the first and the last of calls of one name that follow each other, and all change something or nothing."""
    for _, run in groupby(calls, lambda call: (call.name, call.changes_names_or_files)):
        first, *others = run
        yield first
        yield from others[-1:]


def _calls_in(text: str) -> Iterator[Call]:
    made: Counter[tuple[str, str]] = Counter()
    for line in text.splitlines():
        found = _CALL.match(line)
        if found:
            thread, name = line.split(maxsplit=1)[0], found[1]
            made[thread, name] += 1
            if not found[2].startswith(_LOG):
                yield Call(name, made[thread, name], found[2], thread)
