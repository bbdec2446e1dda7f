"""What a backend can do when many files are recalled."""

from typing import NamedTuple


class RecallTraits(NamedTuple):
    """What a backend really does; a caller provides the rest itself, or does without.

    *batch*: how many files one call to the storage recalls. *sorts*: the storage recalls in
    the order on tape by itself. *cancels*, *releases*, *pins*: the verbs of these names have an effect.
    *tells_state*: the residency says whether a recall is under way, whoever has asked for it. *slowest_seconds*: so
    long may a recall take, even if the site allows less.
    """

    batch: int = 1
    sorts: bool = False
    cancels: bool = False
    releases: bool = False
    pins: bool = False
    tells_state: bool = False
    slowest_seconds: float = 0.0
