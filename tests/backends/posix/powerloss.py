"""Power cuts: a disk that can be cut at any moment, clients that remember what they were told, and the verdict.

How a cut is made. The archive's file system lies in an image file, behind a loop device. All that the
kernel sends to that disk goes into the image file, and nothing else does: what still waits in the page
cache of the mounted file system is not in it, just as it would not be on a disk whose power fails. The
image lies on an XFS of its own, where FICLONE copies a file in no time and atomically: it holds the lock
that every write of the loop device has to take, so the copy is the disk as it was at one instant, and
neither clients nor service nor kernel have to be stopped for it. The file system that moves come from
is a second partition of the same image, so both are cut at the same instant.

What is taken for granted: a disk keeps what it has said to have written. A disk that forgets its own
cache in spite of a flush is not simulated.
"""

import fcntl
import hashlib
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from math import inf
from pathlib import Path

import requests

from tests.support.forked import forked_launcher
from tests.support.mounts import SMALLEST, make_file_system, mounted, mounted_new, run
from tests.support.service import TIMEOUT

FICLONE = 0x40049409  # linux/fs.h
_HOST_SIZE = 1 << 30  # bytes, of which few are ever used
_FAR_SIZE = 32 << 20  # bytes
_CLIENTS = 4
_IDS_AT_A_TIME = 8  # of each client
_SIZES = [0, 1, 4096, 70_000, 300_000, 900_000]  # bytes; an upload is written in blocks of 256 KiB


@dataclass(frozen=True)
class Places:
    """Where the archive is, and where files wait to be moved into it: on its file system and on another."""

    prefix: Path
    near: Path
    far: Path


@dataclass(frozen=True)
class Content:
    """A file as a client knows it; the digest is what the service said of it, if it said any."""

    sha256: str
    mod_time: int  # epoch seconds
    repr_digest: str | None

    def is_seen_in(self, found: "Content | None") -> bool:
        """Return whether *found* is this file; a digest that was told has to be told again."""
        if found is None or (found.sha256, found.mod_time) != (self.sha256, self.mod_time):
            return False
        return self.repr_digest in (None, found.repr_digest)


@dataclass
class Step:
    """One operation on an id: when it was sent and acknowledged, and what the id holds after it."""

    verb: str
    content: Content | None
    begun: float
    acknowledged: float = inf
    source: Path | None = None
    source_durable: float = inf  # when a power cut could no longer harm the source


@dataclass(frozen=True)
class Cut:
    """A copy of the disk as it was at an instant between two, of time.monotonic()."""

    image: Path
    after: float
    before: float


@dataclass
class Disk:
    """An image with the archive's file system and a second one, both in use."""

    kind: str
    image: Path
    places: Places
    _number: Iterator[int] = field(default_factory=itertools.count)

    def cut(self) -> Cut:
        """Cut the power of a copy."""
        copy = self.image.with_name(f"cut-{next(self._number)}.img")
        with self.image.open("rb") as live, copy.open("wb") as file:
            after = time.monotonic()
            fcntl.ioctl(file, FICLONE, live.fileno())
            return Cut(copy, after, time.monotonic())

    @contextmanager
    def after(self, cut: Cut) -> Iterator[Places]:
        """Mount what a cut has left within the block, which replays the journals; then forget it."""
        root = self.image.parent.parent / cut.image.stem
        try:
            with _mounted_places(cut.image, self.kind, root) as places:
                yield places
        finally:
            cut.image.unlink()


@contextmanager
def disk(place: Path, kind: str) -> Iterator[Disk]:
    """Give a new disk with a file system of *kind*, kept below *place* within the block."""
    with mounted_new(place, "xfs", _HOST_SIZE) as host:
        image = host / "disk.img"
        make_file_system(image, kind, 0, SMALLEST[kind])
        make_file_system(image, "ext4", SMALLEST[kind], _FAR_SIZE)
        with _mounted_places(image, kind, place / "live") as places:
            for directory in (places.prefix, places.near, places.far):
                directory.mkdir(exist_ok=True)
            run("sync", "-f", str(places.prefix))
            yield Disk(kind, image, places)


@contextmanager
def _mounted_places(image: Path, kind: str, root: Path) -> Iterator[Places]:
    with ExitStack() as stack:
        root.mkdir()
        stack.callback(root.rmdir)
        first = stack.enter_context(mounted(image, root / "first", kind, 0, SMALLEST[kind]))
        second = stack.enter_context(mounted(image, root / "second", "ext4", SMALLEST[kind], _FAR_SIZE))
        yield Places(first / "archive", first / "uploads", second / "uploads")


class Client:
    """One that writes, overwrites, moves and deletes files of its own, and remembers each step."""

    def __init__(self, seed: int, url: str, places: Places) -> None:
        """Work on the archive at *url*; the same *seed* makes the same steps."""
        self.steps: dict[int, list[Step]] = {}
        self._random = random.Random(seed)
        self._names = (f"{seed}-{number}" for number in itertools.count())
        self._url = url
        self._places = places
        self._session = requests.Session()
        self._ids: list[int] = []

    def work(self) -> None:
        """Take one step. Raises ValueError when the service does not do it."""
        if len(self._ids) < _IDS_AT_A_TIME:
            self._ids.append(self._random.randrange(1, 1 << 32))
        file_id = self._random.choice(self._ids)
        steps = self.steps.setdefault(file_id, [])
        exists = bool(steps) and steps[-1].content is not None
        verbs = [self._put, self._move] + [self._delete] * exists
        self._random.choice(verbs)(file_id, steps)

    def _put(self, file_id: int, steps: list[Step]) -> None:
        body, mod_time = self._new_content()
        step = Step("PUT", _content(body, mod_time), time.monotonic())
        steps.append(step)
        blocks = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
        answer = self._session.put(
            f"{self._url}/{file_id}",
            data=blocks if body and self._random.random() < 0.5 else body,
            headers={"Last-Modified": str(mod_time)},
            timeout=TIMEOUT,
        )
        _acknowledge(step, answer, 201)
        step.content = _content(body, mod_time, answer.headers.get("Repr-Digest"))

    def _move(self, file_id: int, steps: list[Step]) -> None:
        body, mod_time = self._new_content()
        source = self._random.choice([self._places.near, self._places.far]) / next(self._names)
        source.write_bytes(body)
        os.utime(source, (mod_time, mod_time))
        durable = inf
        # Of a source that nobody synced, the service has to make what it publishes last.
        if self._random.random() < 0.5:
            _sync(source)
            _sync(source.parent)
            durable = time.monotonic()
        step = Step("PATCH", _content(body, mod_time), time.monotonic(), source=source, source_durable=durable)
        steps.append(step)
        answer = self._session.patch(f"{self._url}/{file_id}", json={"path": str(source)}, timeout=TIMEOUT)
        _acknowledge(step, answer, 200)

    def _delete(self, file_id: int, steps: list[Step]) -> None:
        step = Step("DELETE", None, time.monotonic())
        steps.append(step)
        _acknowledge(step, self._session.delete(f"{self._url}/{file_id}", timeout=TIMEOUT), 200)
        if self._random.random() < 0.5:
            self._ids.remove(file_id)  # its successor will want directories of its own

    def _new_content(self) -> tuple[bytes, int]:
        return self._random.randbytes(self._random.choice(_SIZES)), self._random.randrange(1 << 31)


def _content(body: bytes, mod_time: int, repr_digest: str | None = None) -> Content:
    return Content(hashlib.sha256(body).hexdigest(), mod_time, repr_digest)


def _acknowledge(step: Step, answer: requests.Response, status: int) -> None:
    if answer.status_code != status:
        raise ValueError(f"{step.verb} was answered with {answer.status_code}: {answer.text}")
    step.acknowledged = time.monotonic()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


@contextmanager
def at_work(clients: list[Client]) -> Iterator[None]:
    """Let *clients* work until the block is left. Raises what stopped one of them."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work(client: Client) -> None:
        try:
            while not stop.is_set():
                client.work()
        except (OSError, ValueError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


@dataclass
class Verdict:
    """What cuts of one disk have shown: how many steps were acknowledged before the last, and what was lost.

    Steps in flight are counted at each cut. *config* is what the service is started with after it.
    """

    config: Path
    cuts: int = 0
    acknowledged: int = 0
    in_flight: int = 0
    losses: list[str] = field(default_factory=list)

    def add(self, clients: list[Client], cut: Cut, places: Places) -> None:
        """Judge what the service, started on *places*, makes of what the cut has left."""
        self.cuts += 1
        self.acknowledged = 0
        with forked_launcher(places.prefix, "-c", str(self.config)) as server:
            with requests.Session() as session:
                for client in clients:
                    for file_id, steps in list(client.steps.items()):
                        found = _found(session, f"{server.url}/{file_id}")
                        self._judge(f"{cut.image.stem}: {file_id}", list(steps), cut, found, places)
            left = [path for path in places.prefix.rglob("*") if _is_left_over(path)]
            self.losses += [f"{cut.image.stem}: {path} was left" for path in left]
            server.process.kill()  # a stop takes longer, and nobody is served any more
            server.process.wait()

    def _judge(self, name: str, steps: list[Step], cut: Cut, found: Content | None, places: Places) -> None:
        begun = [step for step in steps if step.begun <= cut.before]
        settled = [step for step in begun if step.acknowledged < cut.after]
        self.acknowledged += len(settled)
        self.in_flight += len(begun) - len(settled)
        last = settled[-1] if settled else None
        possible = [last, *begun[len(settled) :]]
        if not any(_holds_after(step, found) for step in possible):
            self.losses.append(f"{name}: {last and last.verb} acknowledged, {len(possible) - 1} in flight: {found}")
        for step in steps:
            if step.source:
                later = steps[steps.index(step) :]
                arrived = any(_holds_after(other, found) for other in later if other in begun)
                self._judge_source(name, step, cut, arrived, _counterpart(step.source, places))

    def _judge_source(self, name: str, step: Step, cut: Cut, arrived: bool, source: Path) -> None:
        if step.acknowledged < cut.after:
            if source.exists():
                self.losses.append(f"{name}: {source} was moved and is there again")
        elif step.source_durable < cut.after and not arrived and not _is_whole(source, step):
            self.losses.append(f"{name}: {source} is neither moved nor there")


def _holds_after(step: Step | None, found: Content | None) -> bool:
    if step is None or step.content is None:
        return found is None
    return step.content.is_seen_in(found)


def _found(session: requests.Session, url: str) -> Content | None:
    answer = session.get(url, timeout=TIMEOUT)
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        return Content(f"{answer.status_code} {answer.text}", 0, None)
    mod_time = int(parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp())
    return _content(answer.content, mod_time, answer.headers.get("Repr-Digest"))


def _is_left_over(path: Path) -> bool:
    """Return whether this is a file of an unfinished upload, or one that is not published as it should be."""
    return path.is_file() and (".partial" in path.parts or path.stat().st_mode & 0o777 != 0o444)


def _counterpart(source: Path, places: Places) -> Path:
    """Return the place of *source* on what the cut has left; both file systems are mounted side by side there."""
    # live/first/uploads/name -> cut-0/first/uploads/name
    return places.prefix.parent.parent.joinpath(*source.parts[-3:])


def _is_whole(source: Path, step: Step) -> bool:
    if not source.exists() or step.content is None:
        return False
    return hashlib.sha256(source.read_bytes()).hexdigest() == step.content.sha256


def cut_again_and_again(
    place: Path, kind: str, cuts: int, options: str, seed: int, enough: Callable[[Verdict], bool] = lambda _: False
) -> Verdict:
    """Cut the power *cuts* times while clients work, at random moments, and return the verdict.

    *options* are lines for ``[archive]``; *enough* may end it before.
    """
    config, moments = place / "config.ini", random.Random(seed)
    verdict = Verdict(config)
    with disk(place, kind) as live:
        roots = f"{live.places.near}:{live.places.far}"
        config.write_text(f"[posix]\nuse_id2filename = true\n[archive]\nmove_roots = {roots}\n{options}")
        with forked_launcher(live.places.prefix, "-c", str(config)) as server:
            clients = [Client(seed * _CLIENTS + number, server.url, live.places) for number in range(_CLIENTS)]
            while verdict.cuts < cuts and not enough(verdict):
                with at_work(clients):
                    time.sleep(moments.uniform(0.02, 0.5))  # the moment is what is random, nothing is waited for
                    cut = live.cut()
                with live.after(cut) as left:
                    verdict.add(clients, cut, left)
    return verdict
