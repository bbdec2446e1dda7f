"""The options of section [audit]."""

import re
import socket
from dataclasses import dataclass

from ..options import absolute_path, at_least, one_of, option

DENIED, FAILED, READS = "denied", "failed", "reads"
ALL, OUTCOMES, NONE = "all", "outcomes", "none"

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _node(text: str) -> str:
    if text and not _NODE.fullmatch(text):
        raise ValueError("a name of at most 64 letters, digits, dots, hyphens and underscores")
    return text


def _events(text: str) -> frozenset[str]:
    words = frozenset(text.split())
    if not words <= {DENIED, FAILED, READS}:
        raise ValueError(f"any of {DENIED}, {FAILED} and {READS}, separated by spaces")
    return words


@dataclass(frozen=True)
class AuditOptions:
    """The audit log, in which every change is written before it is answered."""

    directory: str = option(
        "", "an absolute path: where the log of each node is, and nothing else; empty: no audit log", absolute_path
    )
    node: str = option("", "the name of this node, and of its log; empty: the host name", _node)
    key_file: str = option(
        "",
        "a file with a secret of at least 16 bytes, with which lines are authenticated (HMAC-SHA-256); empty: they are"
        " chained by SHA-256 alone, which any program that can write the log can compute as well",
        absolute_path,
    )
    events: frozenset[str] = option(
        "denied failed",
        "what is written beside changes; `denied`: requests that were answered 401, 403 or 429; `failed`: with other"
        " errors; `reads`: other requests for files and to the tape API that succeeded",
        _events,
    )
    sync: str = option(
        ALL,
        "which lines are on stable storage before the answer is sent; `all`; `outcomes`: those that end a change;"
        " `none`: that is left to the system",
        one_of(ALL, OUTCOMES, NONE),
    )
    rotate_bytes: int = option(
        "104857600", "how large the log may become before a new file is begun; 0: left to logrotate", at_least(0, int)
    )
    head_seconds: float = option(
        "3600",
        "how often the number and the hash of the last line are written to the service's own log; 0: never",
        at_least(0, float),
    )

    @property
    def name(self) -> str:
        """The name of this node."""
        return self.node or re.sub(r"[^A-Za-z0-9._-]|^[._-]+", "-", socket.gethostname())[:64].lstrip("-") or "node"
