"""What durability and digests cost: ``python -m benchmarks.durability DIRECTORY``.

Starts one launcher for each setting, lets all of them take turns in short rounds, and prints
each one's median rate and its ratio to the cheapest setting, as JSON lines.
"""

import argparse
import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

from tests.support.processes import Server, launcher

LEVELS = ("none", "file", "full")
SMALL = os.urandom(1024)
BLOCK = os.urandom(1 << 20)

_ids = count(1)


def main() -> None:
    """Run the benchmark below a directory on the disk of interest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a round takes")
    parser.add_argument("--large", type=int, default=256, help="MiB of the large file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as directory, ExitStack() as stack:

        def start(name: str, options: str) -> Server:
            place = Path(directory, name)
            (place / "archive").mkdir(parents=True)
            config = place / "config.ini"
            config.write_text(f"[posix]\nuse_id2filename = true\n[archive]\n{options}\n")
            return stack.enter_context(launcher(place / "archive", "-c", str(config)))

        by_level = {level: start(level, f"durability = {level}") for level in LEVELS}
        for clients in (1, 8, 32):
            rates = take_turns(by_level, given.rounds, partial(small_puts, clients=clients, seconds=given.seconds))
            report("PUT of 1 KiB, files a second", rates, baseline="none", clients=clients)
        by_digest = {
            "no digest": start("plain", "durability = none\ndigests ="),
            "sha-256": start("hashed", "durability = none\ndigests = sha-256"),
            "sha-256, durable": start("durable", "durability = full\ndigests = sha-256"),
        }
        rates = take_turns(by_digest, given.rounds, partial(large_put, mebibytes=given.large))
        report(f"PUT of {given.large} MiB, MiB a second", rates, baseline="no digest", clients=1)


def take_turns(servers: dict[str, Server], rounds: int, measure: Callable[[Server], float]) -> dict[str, list[float]]:
    """Return what *measure* says of each server, round by round."""
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, server in servers.items():
            rates[name].append(measure(server))
    return rates


def report(what: str, rates: dict[str, list[float]], baseline: str, clients: int) -> None:
    """Print medians and their ratios to that of *baseline*."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, median in medians.items():
        ratio = round(median / medians[baseline], 2)
        line = {"what": what, "clients": clients, "setting": name, "median": round(median, 1), "ratio": ratio}
        print(json.dumps(line), flush=True)


def small_puts(server: Server, clients: int, seconds: float) -> float:
    """Return how many small files a second *clients* put, each over a connection of its own."""
    end = time.monotonic() + seconds
    done = [0] * clients

    def put(number: int) -> None:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        while time.monotonic() < end:
            connection.request("PUT", f"/{next(_ids)}", SMALL)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 201:
                raise RuntimeError(f"PUT was answered with {answer.status}")
            done[number] += 1

    threads = [threading.Thread(target=put, args=(number,)) for number in range(clients)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.monotonic() - begin)


def large_put(server: Server, mebibytes: int) -> float:
    """Return how many MiB a second one client puts of a large file, which is then deleted."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    path = f"/{next(_ids)}"
    begin = time.monotonic()
    connection.putrequest("PUT", path)
    connection.putheader("Content-Length", str(mebibytes << 20))
    connection.endheaders()
    for _ in range(mebibytes):
        connection.send(BLOCK)
    answer = connection.getresponse()
    answer.read()
    rate = mebibytes / (time.monotonic() - begin)
    if answer.status != 201:
        raise RuntimeError(f"PUT was answered with {answer.status}")
    connection.request("DELETE", path)
    connection.getresponse().read()
    return rate


if __name__ == "__main__":
    main()
