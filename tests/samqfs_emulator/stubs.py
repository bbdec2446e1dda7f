"""Builds the C stubs: libsam.so and libsamread.so."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]


def build(directory: Path) -> tuple[Path, Path]:
    """Compile the stubs into *directory* and return the paths of libsam.so and libsamread.so."""
    directory.mkdir(parents=True, exist_ok=True)
    return _compile(directory / "libsam.so", "libsam.c"), _compile(directory / "libsamread.so", "samread.c")


def _compile(library: Path, source: str) -> Path:
    command = ["cc", *FLAGS, "-o", str(library), str(HERE / source), str(HERE / "samstate.c"), "-ldl"]
    subprocess.run(command, check=True)
    return library
