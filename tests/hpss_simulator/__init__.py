"""A stand-in for IBM HPSS: a client library over a directory, for tests and for trying the service without HPSS.

``build`` compiles it and lays out what HPSS_PREFIX names; ``Simulator`` plays operator, tape robot and clock.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

FLAVOURS = {"7.4": ("07", "04"), "7.5": ("07", "05"), "9.3": ("9", "3"), "10.3": ("10", "3")}
HERE = Path(__file__).parent
COMPILE = [
    "cc",
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fPIC",
    "-shared",
    "-pthread",
]


def build(flavour: str, prefix: Path) -> Path:
    """Compile *flavour* into *prefix* (include/, lib/) and return the path of its libhpss.so."""
    include, lib = prefix / "include", prefix / "lib"
    lib.mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE / "include", include, dirs_exist_ok=True)
    write_version(flavour, include)
    # The name that programs find at start is a flavour's own, so that one test process can hold all of them.
    soname = f"libhpss.so.{flavour}"
    compile_library(lib / soname, include, prefix / "archive")
    library = link(lib / "libhpss.so", soname)
    if flavour == "7.4":
        subprocess.run([*COMPILE, "-x", "c", "/dev/null", "-o", str(lib / "libhpsscs.so")], check=True)
    else:
        (lib / "hpss.pc").write_text(PKG_CONFIG.format(prefix=prefix, version=flavour))
    return library


PKG_CONFIG = """\
Name: hpss
Description: stand-in for the HPSS client library
Version: {version}
Cflags: -I{prefix}/include -DLINUX -DLITTLEEND
Libs: -L{prefix}/lib -lhpss
"""


def write_version(flavour: str, include: Path) -> None:
    major, minor = FLAVOURS[flavour]
    text = f"#define HPSS_MAJOR_VERSION {major}\n#define HPSS_MINOR_VERSION {minor}\n"
    (include / "hpss_version.h").write_text(text)


def link(library: Path, target: str) -> Path:
    """Make *library*, the name that the linker finds, one for *target* beside it."""
    partial = library.with_suffix(f".{os.getpid()}")
    partial.symlink_to(target)
    partial.replace(library)
    return library


def compile_library(library: Path, include: Path, default_root: Path) -> None:
    partial = library.with_name(f"{library.name}.{os.getpid()}")
    sources = [str(path) for path in sorted((HERE / "src").glob("*.c"))]
    flags = [f"-I{include}", f'-DSIM_DEFAULT_ROOT="{default_root}"', f"-Wl,-soname,{library.name}"]
    subprocess.run([*COMPILE, *flags, *sources, "-o", str(partial)], check=True)
    # Running processes keep the library that they have mapped.
    partial.replace(library)


class SimulatorError(Exception):
    """The simulated archive refused: the text has the HPSS code."""


class Simulator:
    """The operator's side of one simulated archive: *library* is a built libhpss.so, *root* the archive's directory.

    The archive's names show as symbolic links to its data below *names*, ``root/names`` if not given;
    a plain file that is put there becomes a file of the archive.
    """

    def __init__(self, library: Path, root: Path, names: Path | None = None) -> None:
        self.library = library
        self.flavour = library.parent.parent.name
        self.root = root
        self.names = names or root / "names"
        self._calls = ctypes.CDLL(str(library), mode=os.RTLD_LAZY | os.RTLD_DEEPBIND)
        self._calls.sim_advance.argtypes = [ctypes.c_double]
        self._calls.sim_damage.argtypes = [ctypes.c_char_p, ctypes.c_uint64]
        self._calls.sim_show.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
        self._calls.sim_counters.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        self._calls.sim_use_root.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
        self._calls.sim_use_root(os.fsencode(root), os.fsencode(self.names))

    def write_keytab(self, principal: str = "hpss") -> Path:
        """Write the keytab that logs *principal* in, and return its path."""
        keytab = self.root / "keytab"
        keytab.write_text(f"{principal} not-a-secret\n")
        return keytab

    def place(self, path: str) -> Path:
        """Return where *path* of the archive shows."""
        return Path(f"{self.names}/{path.lstrip('/')}")

    def mkdir(self, path: str) -> None:
        """Make a directory, and those above it."""
        self.place(path).mkdir(parents=True, exist_ok=True)

    def migrate(self, path: str) -> None:
        """Copy the file to every level below the top."""
        self._check("migrate", path, self._calls.sim_migrate(path.encode()))

    def purge(self, path: str) -> None:
        """Drop the file's disk copies; refused when locked, being staged or not yet on tape."""
        self._check("purge", path, self._calls.sim_purge(path.encode()))

    def damage(self, path: str, offset: int = 0) -> None:
        """Make the tape copy unreadable from byte *offset* on."""
        self._check("damage", path, self._calls.sim_damage(path.encode(), offset))

    def advance(self, seconds: float) -> None:
        """Put the archive's clock forward."""
        self._calls.sim_advance(seconds)

    def expire(self) -> None:
        """Let the credentials of everybody who is logged in run out."""
        self._calls.sim_expire()

    def set(self, name: str, value: object) -> None:
        """Change one setting; the README lists them."""
        self._check("set", name, self._calls.sim_set(name.encode(), str(value).encode()))

    def show(self, path: str) -> dict[str, str]:
        """Return what the archive knows of one file."""
        text = ctypes.create_string_buffer(16384)
        self._check("show", path, self._calls.sim_show(path.encode(), text, len(text)))
        return fields(text.value.decode())

    def counters(self) -> dict[str, int]:
        """Return the counts since the archive was made: recalls, mounts, misuse; the README lists them."""
        text = ctypes.create_string_buffer(4096)
        self._calls.sim_counters(text, len(text))
        return {name: int(value) for name, value in fields(text.value.decode()).items()}

    def inject(self, *lines: str) -> None:
        """Let the next calls fail as *lines* say, and no others: none ends all failures."""
        partial = self.root / "failures.new"
        partial.write_text("".join(f"{line}\n" for line in lines))
        partial.replace(self.root / "failures")

    def calls(self) -> list[list[str]]:
        """Return the call log: [time, process, thread, function, path, detail, code] of each call."""
        log = self.root / "log"
        return [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []

    def forget_calls(self) -> None:
        (self.root / "log").unlink(missing_ok=True)

    def _check(self, verb: str, subject: str, code: int) -> None:
        if code != 0:
            name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int)(("hpss_ErrnoName", self._calls))(code)
            raise SimulatorError(f"{verb} {subject}: {name.decode()} ({code})")


def fields(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in pairs}
