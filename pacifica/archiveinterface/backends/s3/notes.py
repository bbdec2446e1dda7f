"""What is kept with an object: its identity, modification time, size, digests and damage.

A small file is stored by one call, which brings all of this as the object's metadata. The metadata of a file in parts
are fixed before its first byte is sent, so they hold only its *token*; the rest is an object of its own below
``.notes``, named after the token and stored before the file is published. The notes of an object that this service did
not store are named after its entity tag.
"""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from ..abstract.notes import Notes

NOTES = ".notes"  # the directory below the prefix
_PREFIX = "pacifica-"
_DIGEST = "digest-"
_LONGEST_FINDING = 200  # characters: metadata have 2 KB in all


class Kept(NamedTuple):
    """What is kept with an object; *mtime* in epoch seconds and *size* in bytes are None when they are not known."""

    token: str = ""
    mtime: float | None = None
    size: int | None = None
    digests: Mapping[str, bytes] = MappingProxyType({})
    damaged: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether modification time and digests are known, so that no object of notes has to be read."""
        return self.mtime is not None and bool(self.digests)

    def texts(self) -> dict[str, str]:
        """Return it as names and values of text in ASCII."""
        numbers = {"mtime": self.mtime, "size": self.size}
        return {
            "token": self.token,
            **{name: repr(number) for name, number in numbers.items() if number is not None},
            **Notes(dict(self.digests), ascii(self.damaged)[1:-1][:_LONGEST_FINDING]).texts(_DIGEST),
        }

    def metadata(self) -> dict[str, str]:
        """Return it as the metadata of an object."""
        return {f"{_PREFIX}{name}": text for name, text in self.texts().items()}

    def content(self) -> bytes:
        """Return it as the content of an object of its own."""
        return json.dumps(self.texts()).encode()


def new_token() -> str:
    """Return a token that no other object has."""
    return secrets.token_hex(16)


def kept_in_metadata(metadata: Mapping[str, str]) -> Kept:
    """Return what the *metadata* of an object say."""
    return _kept({name.removeprefix(_PREFIX): text for name, text in metadata.items() if name.startswith(_PREFIX)})


def kept_in_content(content: bytes) -> Kept:
    """Return what the *content* of an object of notes says; nothing when it is not one."""
    texts = {}
    with suppress(ValueError):
        texts = json.loads(content)
    return _kept(texts) if isinstance(texts, dict) else Kept()


def _kept(texts: Mapping[str, str]) -> Kept:
    mtime = size = None
    with suppress(KeyError, ValueError):
        mtime = float(texts["mtime"])
    with suppress(KeyError, ValueError):
        size = int(texts["size"])
    notes = Notes.of_texts({name: text for name, text in texts.items() if name.startswith(_DIGEST)}, _DIGEST)
    return Kept(texts.get("token", ""), mtime, size, notes.digests, texts.get("damaged", ""))
