"""The extension under valgrind: no invalid access, no block lost."""

import os
import subprocess
import sys
from pathlib import Path

from tests.backends.hpss.support import FLAVOURS, PROJECT, extension_of, simulator_of
from tests.support.needs import need

# Every function of every flavour once as it should be, and once refused, in one process: its start takes longest.
EXERCISE = """
import contextlib, gc, sys
from pathlib import Path
from tests.backends.hpss.exercise import LATE, READ, batch_of, create, failing_in, load, read
from tests.hpss_simulator import Simulator

def exercise(extension, library, root, directory):
    simulator, client = Simulator(Path(library), Path(root), Path("/")), load(Path(library), Path(extension))
    client.login("hpss", "unix", "keytab", root + "/keytab")
    for number in range(3):
        path = directory + "/file" + str(number)
        create(client, path, b"x" * 5000)
        simulator.migrate(path)
        client.set_user_attributes(path, [("/hpss/key", "value")])
        client.user_attributes(path, ["/hpss/key"])
        client.residency(path)
        read(client, path)
        client.open(path, READ).forget()
        client.reset()
        client.open(path, READ)
        client.build_level()
        client.configure(1, 1, 1)
        for function, call in failing_in(client).items():
            for moment in ("", " after") if function in LATE else ("",):
                simulator.inject(function + " * rc=HPSS_EIO" + moment)
                with contextlib.suppress(client.HPSSError):
                    call(client, path)
        simulator.inject()
        if client.BATCHES:
            client.stage_batch(bytes(16), batch_of(client, path) + [(bytes(len(batch_of(client, path)[0][0])), 1, 10)])
            for wrong in (lambda: client.stage_batch(bytes(16), [*batch_of(client, path), None]),
                          lambda: client.batch_status(bytes(16), [b"x"])):
                with contextlib.suppress(TypeError, ValueError):
                    wrong()
        for wrong in (lambda: client.user_attributes(path, [None]),
                      lambda: client.set_user_attributes(path, [("a", 1)]),
                      lambda: client.stage(path, b"x"), lambda: client.open(path, READ).readinto(b"x")):
            with contextlib.suppress(TypeError, ValueError, BufferError):
                wrong()
    gc.collect()
    counters = simulator.counters()
    assert counters["open_descriptors"] == counters["blocks"] == counters["bad_frees"] == 0, counters

places = sys.argv[1:]
while places:
    exercise(*places[:4])
    del places[:4]
print("all was called")
"""


def test_valgrind_finds_nothing_in_the_extension(directory: Path, tmp_path: Path) -> None:
    need("valgrind")
    log = tmp_path / "valgrind.log"
    arguments = [place for flavour in FLAVOURS for place in places_of(flavour, directory / flavour)]
    python = [sys.executable, "-S", "-c", EXERCISE, *map(str, arguments)]  # site takes a second of valgrind's
    ended = subprocess.run(
        ["valgrind", "--leak-check=full", "--num-callers=40", f"--log-file={log}", *python],
        env={**os.environ, "PYTHONMALLOC": "malloc", "PYTHONPATH": str(PROJECT)},
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert "all was called" in ended.stdout, ended.stderr
    assert "HEAP SUMMARY" in log.read_text()
    # Python's own blocks that outlive it are not ours; a record of ours names our source.
    assert [record for record in records(log.read_text()) if "hpssExtensions" in record] == []


def places_of(flavour: str, directory: Path) -> tuple[Path, Path, Path, Path]:
    """Return what EXERCISE is told of an archive of *flavour* below *directory*."""
    simulator = simulator_of(flavour, directory)
    return extension_of(flavour), simulator.library, simulator.root, directory


def records(log: str) -> list[str]:
    """Return the paragraphs of the log, without valgrind's prefix and its first one, which has the command."""
    lines = [line.partition("== ")[2].strip() for line in log.splitlines()]
    return "\n".join(lines).split("\n\n")[1:]
