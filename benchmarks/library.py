"""What the order of recalls costs in a tape library: ``python -m benchmarks.library DIRECTORY``.

The HPSS simulator's library has four drives and two hundred volumes; a mount takes a minute, a position 50 ms, and
the archive's clock is put forward by what the drives take, so that hours pass in seconds. The same files are
recalled twice, asked for in the same random order: one by one as they come, and through the recaller. Prints
mounts, distance and hours of both, and the least that any order could take, as JSON lines.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from pacifica.archiveinterface.backends.abstract.residency import Residency
from pacifica.archiveinterface.backends.hpss.archive import HpssBackendArchive
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.recaller.recaller import Recaller
from pacifica.archiveinterface.recalls.requests import Wish
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from tests.backends.hpss.support import NEWEST, archive_on, simulator_of
from tests.hpss_simulator import Simulator

DRIVES, MOUNT_SECONDS, SEEK_SECONDS, TAPE_RATE = 4, 60.0, 0.05, 300e6
BYTES = 1 << 10  # of each file; what is compared is mounts and seeks
_REQUEST = 500  # files
_STEP = 5.0  # seconds of the archive's clock between two looks of the recaller


class Library:
    """An archive whose files are all on tape, on volumes in the order of their ids."""

    def __init__(self, place: Path, files: int, volumes: int) -> None:
        """Store *files* below *place* and leave them on *volumes*."""
        self.prefix = place / "archive"
        self.simulator: Simulator = simulator_of(NEWEST, self.prefix)
        self.archive: HpssBackendArchive = archive_on(self.simulator, self.prefix)
        self.ids = [str(number) for number in range(1000, 1000 + files)]
        settings = {
            "drives": DRIVES,
            "mount_seconds": MOUNT_SECONDS,
            "seek_seconds": SEEK_SECONDS,
            "tape_rate": TAPE_RATE,
            "idle_seconds": 300,
            "files_per_volume": -(-files // volumes),
            "stage_queue": files,
            "credential_seconds": 10**9,
        }
        for name, value in settings.items():
            self.simulator.set(name, value)
        for file_id in self.ids:
            self._leave_on_tape(file_id)

    def _leave_on_tape(self, file_id: str) -> None:
        path = self.archive.file(file_id).filepath
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(bytes(BYTES))
        self.simulator.migrate(path)
        self.simulator.purge(path)

    def counted(self, recall: Any) -> dict[str, float]:
        """Do *recall*, which has all files recalled, and return mounts, distance and hours that it took."""
        before = self.simulator.counters()
        recall()
        after = self.simulator.counters()
        assert after["recalls_finished"] - before["recalls_finished"] == len(self.ids)
        return {
            "mounts": after["mounts"] - before["mounts"],
            "seek_distance": after["seek_distance"] - before["seek_distance"],
            "hours": round((after["recalls_end"] - before["clock"]) / 3600, 2),
        }

    def purge(self) -> None:
        """Leave all files on tape only again."""
        for file_id in self.ids:
            self.simulator.purge(self.archive.file(file_id).filepath)

    def least(self) -> dict[str, float]:
        """Return what it takes if each volume is mounted once, is read forwards, and no drive waits."""
        per_volume: dict[str, int] = {}
        for residency in self.archive.residencies(self.ids).values():
            assert isinstance(residency, Residency)
            place = residency.places[0]
            per_volume[place.volume] = max(place.position, per_volume.get(place.volume, 0))
        distance = sum(per_volume.values())
        seconds = len(per_volume) * MOUNT_SECONDS + distance * SEEK_SECONDS + len(self.ids) * BYTES / TAPE_RATE
        return {"mounts": len(per_volume), "seek_distance": distance, "hours": round(seconds / DRIVES / 3600, 2)}


def one_by_one(library: Library, order: list[str]) -> None:
    """Ask the storage for each file as it is asked for, and wait for the last one."""
    for file_id in order:
        library.archive.submit_recalls([file_id])
    while library.simulator.counters()["recalls_finished"] < len(order):
        library.simulator.advance(3600)


def by_the_recaller(library: Library, order: list[str], place: Path) -> None:
    """Have the recall service recall the files, asked for by requests of the tape API, and wait for the last one."""
    options = RecallOptions(
        database=f"sqlite:///{place / 'recalls.sqlite3'}", quiet_seconds=0, poll_seconds=0.01, volumes=DRIVES
    )
    store = Store("benchmark", options)
    service, recaller = RecallService(library.archive, store, options), Recaller(library.archive, store, options)
    for first in range(0, len(order), _REQUEST):
        service.submit([Wish(f"/{file_id}", file_id) for file_id in order[first : first + _REQUEST]])
    while service.report().completed_files < len(order):
        pause = recaller.turn()
        if pause:  # nothing more to do at this time
            library.simulator.advance(_STEP)
            time.sleep(pause)


def main() -> None:
    """Run the benchmark below a directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--volumes", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        library = Library(Path(directory, "library").resolve(), given.files, given.volumes)
        order = random.Random(1).sample(library.ids, len(library.ids))
        arrival = library.counted(lambda: one_by_one(library, order))
        library.purge()
        recaller = library.counted(lambda: by_the_recaller(library, order, Path(directory)))
        least = library.least()
    for name, result in (("order of arrival", arrival), ("recaller", recaller), ("least", least)):
        print(json.dumps({"what": name, "files": given.files, "volumes": given.volumes, **result}))
    ratios = {
        "mounts, arrival / recaller": round(arrival["mounts"] / recaller["mounts"], 1),
        "hours, arrival / recaller": round(arrival["hours"] / recaller["hours"], 1),
        "hours, recaller / least": round(recaller["hours"] / least["hours"], 2),
    }
    print(json.dumps({"what": "ratios", **ratios}))


if __name__ == "__main__":
    main()
