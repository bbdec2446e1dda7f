"""The restrictions of a systemd unit, laid on its command where no systemd runs.

The root is read-only but for some directories, there are no capabilities, and the kernel refuses the system calls that
the unit's filter refuses.
"""

import re
import struct
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.support.needs import need
from tests.support.service import TIMEOUT

_MOUNTS = "for place; do [ $place = -- ] && break; mount --bind $place $place; shift; done; shift; "
_MOUNTS += "mount -o remount,bind,ro /; cd /; "
_MOUNTS += 'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"'
# prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ...)
_FILTER = """
import ctypes, os, sys
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
code = open(sys.argv[1], "rb").read()
assert ctypes.CDLL(None).prctl(22, 2, ctypes.byref(Program(len(code) // 8, code)), 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""
_LOAD_NUMBER = struct.pack("HBBI", 0x20, 0, 0, 0)
_ALLOW, _REFUSE = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000), struct.pack("HBBI", 0x06, 0, 0, 0x00050001)  # EPERM


def restricted(command: list[str], unit: str, writable: Iterable[Path], code: Path) -> list[str]:
    """Return what runs *command* in the same process with the restrictions of the text *unit*.

    It may write to the directories *writable*. The filter is written to the file *code*.
    """
    need("unshare", "setpriv", "systemd-analyze", "cc")
    code.write_bytes(_compiled(_allowed(unit)))
    isolated = ["unshare", "--map-root-user", "--mount", "sh", "-ec", _MOUNTS, "sh", *map(str, writable), "--"]
    return [*isolated, sys.executable, "-c", _FILTER, str(code), *command]


def _allowed(unit: str) -> set[str]:
    """Return the names of the system calls that the filter of *unit* allows."""
    allowed = _members("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = set().union(*map(_members, line.removeprefix("~").split()))
        allowed = allowed - named if line[0] == "~" else allowed | named
    return allowed


def _members(name: str) -> set[str]:
    return set().union(*map(_members, _groups()[name])) if name[0] == "@" else {name}


@cache
def _groups() -> dict[str, list[str]]:
    command = ["systemd-analyze", "syscall-filter", "--no-pager"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    groups = re.findall(r"^(@[\w-]+)\n((?: +.*\n)+)", listed, re.MULTILINE)
    return {name: re.findall(r"^ +([\w@-]+)$", members, re.MULTILINE) for name, members in groups}


def _compiled(names: set[str]) -> bytes:
    """Return the program of the kernel's filter that allows the system calls with these *names*."""
    command = ["cc", "-dM", "-E", "-include", "sys/syscall.h", "-x", "c", "/dev/null"]
    known = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    numbers = [
        int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", known, re.MULTILINE) if name in names
    ]
    assert len(numbers) > 200
    return _LOAD_NUMBER + b"".join(struct.pack("HBBI", 0x15, 0, 1, number) + _ALLOW for number in numbers) + _REFUSE
