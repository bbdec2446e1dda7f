"""File systems in image files, mounted for as long as a block lasts; only root may."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.needs import PATH, refuse_or_skip

SMALLEST = {"ext4": 64 << 20, "xfs": 300 << 20}  # bytes; mkfs.xfs makes none below
_MKFS = {"ext4": ["mkfs.ext4", "-q", "-F", "-E"], "xfs": ["mkfs.xfs", "-q", "-f"]}


def require_mounts() -> None:
    """Go on if this machine lets us mount an image; skip the test if not, or fail it under CI.

    Only root may; CI runs the tests as root too.
    """
    if os.geteuid():
        pytest.skip("only root may mount a file system")
    reason = _why_nothing_is_mounted()
    if reason:
        refuse_or_skip(f"no image can be mounted here: {reason}")


@cache
def _why_nothing_is_mounted() -> str:
    try:
        with TemporaryDirectory() as place, mounted_new(Path(place), "ext4", 8 << 20):
            return ""
    except OSError as error:
        return str(error)


def make_file_system(image: Path, kind: str, offset: int, size: int) -> None:
    """Make a file system in *size* bytes of *image* from *offset* on, which is 0 for xfs."""
    with image.open("ab") as file:
        file.truncate(max(offset + size, image.stat().st_size))
    if kind == "ext4":
        run(*_MKFS[kind], f"offset={offset}", str(image), f"{size >> 10}k")
    else:
        run(*_MKFS[kind], "-d", f"size={size}", str(image))


@contextmanager
def mounted_new(place: Path, kind: str, size: int) -> Iterator[Path]:
    """Give the root of a new file system of *size* bytes, kept in *place* within the block."""
    image = place / f"{kind}.img"
    try:
        make_file_system(image, kind, 0, size)
        with mounted(image, place / kind, kind, 0, size) as root:
            yield root
    finally:
        image.unlink(missing_ok=True)


@contextmanager
def mounted(image: Path, root: Path, kind: str, offset: int, size: int) -> Iterator[Path]:
    """Mount what lies in *size* bytes of *image* from *offset* on at the new directory *root*."""
    root.mkdir()
    # The loop device is let go of when the file system is. A copy of an xfs has the id of the original.
    options = f"loop,offset={offset},sizelimit={size}" + (",nouuid" if kind == "xfs" else "")
    run("mount", "-t", kind, "-o", options, str(image), str(root))
    try:
        yield root
    finally:
        _unmount(root)
        root.rmdir()


def _unmount(root: Path) -> None:
    try:
        run("umount", str(root))
    except OSError:
        run("umount", "--lazy", str(root))  # so that nothing stays, whatever still has a file open
        raise


def run(*command: str) -> None:
    """Run a command of the system administrator. Raises OSError with what it said."""
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "PATH": PATH})
    if ended.returncode:
        raise OSError(f"{' '.join(command)}: {ended.stderr.strip()}")
