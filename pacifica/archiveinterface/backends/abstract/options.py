"""The options of section [archive], which every backend keeps."""

from dataclasses import dataclass

from ...digests import ALGORITHMS, SUPPORTED, algorithm
from ...exception import NotAllowedError
from ...options import absolute_paths, at_least, boolean, one_of, option


def _digests(text: str) -> tuple[str, ...]:
    names = tuple(algorithm(name) or "" for name in text.replace(",", " ").split())
    if "" in names:
        raise ValueError(f"a list of {', '.join(SUPPORTED)}")
    return names


@dataclass(frozen=True)
class ArchiveOptions:
    """How files are kept, on every backend."""

    overwrite: str = option(
        "replace",
        "what a PUT to an existing file does; `replace`: replaces its content; `refuse`: answers 409 unless the bytes"
        " are the same",
        one_of("replace", "refuse"),
    )
    delete: str = option(
        "allow",
        "whether DELETE removes files; `allow`, or `refuse`: it is answered with 403",
        one_of("allow", "refuse"),
    )
    read_only: bool = option(
        "false", "whether PUT, PATCH and DELETE are answered with 403; files are still recalled from tape", boolean
    )
    durability: str = option(
        "full",
        "what survives a power failure after the answer 201; `full`: the file and its name; `file`: the bytes of the"
        " file; `none`: nothing",
        one_of("full", "file", "none"),
    )
    reserve_bytes: int = option(
        "0", "bytes of the file system to keep free: a PUT that would use them is answered with 507", at_least(0, int)
    )
    digests: tuple[str, ...] = option(
        "sha-256",
        f"digests to compute and keep for every file, separated by blanks: any of {' '.join(ALGORITHMS)}"
        " (crc32c needs the package google-crc32c)",
        _digests,
    )
    verify_reads: bool = option(
        "false",
        "whether a GET of a whole file checks its digest; the answer to a damaged file is 500, or a connection that"
        " closes before the last byte",
        boolean,
    )
    move_roots: tuple[str, ...] = option(
        "", "directories outside the prefix that PATCH may move files from, separated by colons", absolute_paths
    )
    offline_read: str = option(
        "stage",
        "what a GET of a file that is only on tape does; `stage`: starts the recall and answers 503; `wait`: waits for"
        " the recall",
        one_of("stage", "wait"),
    )

    @property
    def may_replace(self) -> bool:
        """Whether a stored file may be replaced by one with other bytes."""
        return self.overwrite == "replace"

    def require_writable(self) -> None:
        """Raise NotAllowedError when no file may be stored, moved or removed."""
        if self.read_only:
            raise NotAllowedError("this archive is read-only")

    def require_deletable(self) -> None:
        """Raise NotAllowedError when no file may be removed."""
        self.require_writable()
        if self.delete == "refuse":
            raise NotAllowedError("this archive does not let files be removed")
