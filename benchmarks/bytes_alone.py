"""What the machine does with the bytes alone: copied, copied and synced, read, and hashed by OpenSSL."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MIB = 1 << 20


def measure_bytes_alone(place: str, source: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the rates at which the file *source* is handled beside itself, and what ``openssl speed`` says."""
    copy = source.with_name("copy")
    commands = {
        "cp": ["cp", str(source), str(copy)],
        "dd to a file, synced": ["dd", f"if={source}", f"of={copy}", "bs=1M", "conv=fsync", "status=none"],
        "dd from a file": ["dd", f"if={source}", "of=/dev/null", "bs=1M", "status=none"],
        "openssl dgst -sha256": ["openssl", "dgst", "-sha256", str(source)],
    }
    for number in range(rounds):
        for name, command in commands.items():
            yield {"place": place, "what": name, "round": number, "rate": _rate(command, source)}
            copy.unlink(missing_ok=True)
        yield {"place": place, "what": "openssl speed sha256", "round": number, "rate": _openssl_speed()}


def _rate(command: list[str], source: Path) -> float:
    """Return how many MiB a second of *source* the command handles, once nothing waits to be written."""
    sync_file_system(source.parent)
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return source.stat().st_size / _MIB / (time.monotonic() - begin)


def _openssl_speed() -> float:
    command = ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", str(_MIB), "-evp", "sha256"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return float(next(line for line in lines if line.startswith("+F:")).rpartition(":")[2]) / _MIB


def sync_file_system(directory: Path) -> None:
    """Write what waits to be written to the file system of *directory*, so that nobody pays for another's bytes."""
    subprocess.run(["sync", "-f", str(directory)], check=True)
