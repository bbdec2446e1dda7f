"""What a HEAD costs by each way of asking for residency: ``python -m tests.backends.oracle_hsm_sideband.cost``.

The ways take turns, so that whatever else the machine does meets all of them alike.
"""

import logging
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import requests

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from tests.backends.oracle_hsm_sideband.stand import FILE, Stand, standing
from tests.samqfs_emulator import stubs
from tests.samqfs_emulator.host import HsmHost
from tests.support.mariadb import shared_server

ROUNDS = 2000
WAYS = ("blocks", "database", "sam_stat")


def main() -> None:
    """Print the cost of a HEAD, and of the status alone, in microseconds."""
    logging.disable()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        host = HsmHost(Path(directory, "sam"), shared_server())
        os.environ["SAMQFS_EMULATOR"] = str(host.filesystem.root)
        libsam, _ = stubs.build(Path(directory, "stubs"))
        archives = {
            way: HsmSidebandBackendArchive(
                str(host.filesystem.mount),
                options=host.options(residency=way, libsam=str(libsam)),
            )
            for way in WAYS
        }
        stands = {way: stack.enter_context(standing(host, residency=way, libsam=str(libsam))) for way in WAYS}
        stands["blocks"].archive()
        session = stack.enter_context(requests.Session())
        heads: dict[str, list[float]] = {way: [] for way in WAYS}
        statuses: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, stand in stands.items():
                heads[way].append(_time_of_head(session, stand))
                statuses[way].append(_time_of_status(archives[way]))
        print(f"| residency | HEAD over HTTP, median us | status alone, median us | answer |   ({ROUNDS} rounds)")
        for way, stand in stands.items():
            answer = stand.head()
            print(
                f"| {way} | {statistics.median(heads[way]) * 1e6:.0f} | {statistics.median(statuses[way]) * 1e6:.0f}"
                f" | {answer.media} {answer.levels} |"
            )


def _time_of_head(session: requests.Session, stand: Stand) -> float:
    start = time.perf_counter()
    session.head(f"{stand.service.url}/{FILE}")
    return time.perf_counter() - start


def _time_of_status(archive: AbstractBackendArchive) -> float:
    start = time.perf_counter()
    archive.file(FILE).status()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
