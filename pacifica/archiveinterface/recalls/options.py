"""The options of section [recalls]."""

from dataclasses import dataclass

from ..options import at_least, one_of, option, secret


def _priorities(text: str) -> tuple[tuple[str, int], ...]:
    pairs = [pair.rpartition("=") for pair in text.replace("\n", ",").split(",") if pair.strip()]
    try:
        found = tuple((name.strip(), int(number)) for name, _, number in pairs)
    except ValueError:
        raise ValueError("activity = number pairs, separated by commas") from None
    if not all(name and -1000 <= number <= 1000 for name, number in found):
        raise ValueError("activity = number pairs, separated by commas, with numbers from -1000 to 1000")
    return found


@dataclass(frozen=True)
class RecallOptions:
    """Recalls from tape and the tape API; all nodes of an archive have the same options and the same database."""

    database: str = secret(
        "",
        "URL of the database that remembers recalls, `sqlite:////path`, `mysql://user:password@host/name` (also"
        " mariadb) or `postgresql://user:password@host/name`; each archive needs its own; empty: a SQLite file in"
        " the directory that STATE_DIRECTORY names, which is set by systemd, or in `~/.pacifica-archiveinterface`",
    )
    database_timeout: float = option("10", "seconds to wait for an answer of the database", at_least(0.1, float))
    most_files: int = option(
        "10000", "most files of one request to the tape API, more is answered with 413", at_least(1, int)
    )
    most_waiting: int = option(
        "2000000",
        "most files that may wait for their recall; requests that come then are answered with 429",
        at_least(1, int),
    )
    keep_days: float = option(
        "14", "days that a finished request can be asked for; older ones are removed", at_least(0.01, float)
    )
    pin_seconds: float = option(
        "86400", "seconds that a recalled file is pinned if the request has no diskLifetime", at_least(0, float)
    )
    pin_seconds_most: float = option("2592000", "longest diskLifetime in seconds; more is cut", at_least(0, float))
    evict: str = option(
        "never",
        "when the service tells the storage to free the disk copy of a file that it recalled; `never`: the storage"
        " decides; `released`: when the file is released and has no other pin; `expired`: also"
        " when its last pin expires",
        one_of("never", "released", "expired"),
    )
    activities: tuple[tuple[str, int], ...] = option(
        "",
        "priority of each activity in the targetedMetadata of a request, `name = number, ...`; higher numbers go first,"
        " others have 0",
        _priorities,
    )
    quiet_seconds: float = option(
        "10", "a volume is started when no file was added to its queue for so many seconds", at_least(0, float)
    )
    max_age: float = option("600", "seconds after which a volume is started in any case", at_least(0, float))
    enough_files: int = option("1000", "number of waiting files at which a volume is started at once", at_least(1, int))
    enough_bytes: int = option(
        "500000000000", "bytes of waiting files at which a volume is started at once", at_least(1, int)
    )
    remount_seconds: float = option(
        "0", "seconds that a volume is left alone after its queue was empty", at_least(0, float)
    )
    aging_seconds: float = option(
        "600", "seconds of waiting that count as one step of priority, so that no volume starves", at_least(1, float)
    )
    volumes: int = option("4", "most volumes that are read at a time; as many as there are drives", at_least(1, int))
    volume_files: int = option(
        "500", "most files of one volume that the storage is asked for at a time", at_least(1, int)
    )
    in_flight: int = option("5000", "most files in all that the storage is asked for at a time", at_least(1, int))
    cache_bytes: int = option(
        "0",
        "no recall is started while the files in flight and the pinned ones have so many bytes together; 0: no limit",
        at_least(0, int),
    )
    disk_full_percent: float = option(
        "95",
        "no recall is started while the file system of the archive is fuller; where the storage tells",
        at_least(1, float),
    )
    timeout: float = option(
        "28800", "seconds that one attempt of a recall may take in the storage", at_least(0.1, float)
    )
    attempts: int = option("3", "number of attempts after which a recall has failed", at_least(1, int))
    retry_seconds: float = option(
        "60", "seconds before the second attempt; doubled for each further one", at_least(0, float)
    )
    poll_seconds: float = option(
        "5", "seconds between two looks at a file that the storage was asked for", at_least(0.05, float)
    )
    lease_seconds: float = option(
        "30", "seconds after which another process takes over from a recaller that has stopped", at_least(1, float)
    )

    def timeout_with(self, slowest_seconds: float) -> float:
        """Return how many seconds an attempt may take in a storage that may need *slowest_seconds*."""
        return max(self.timeout, slowest_seconds)

    def priority_of(self, activity: str) -> int:
        """Return the priority of files that are asked for in an *activity*."""
        return dict(self.activities).get(activity, 0)
