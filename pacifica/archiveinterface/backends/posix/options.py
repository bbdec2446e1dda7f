"""The options of section [posix]."""

from dataclasses import dataclass

from ...options import boolean, option


@dataclass(frozen=True)
class PosixOptions:
    """The POSIX backend."""

    use_id2filename: bool = option(
        "false",
        "whether ids are mapped to paths in a tree of directories, which many files need, or are file names below the"
        " prefix",
        boolean,
    )
