"""What is kept with a stored file: its digests, and whether it is known to be damaged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ...digests import Digests

if TYPE_CHECKING:
    from typing_extensions import Self

DAMAGED = "damaged"


class Notes(NamedTuple):
    """The digests of a file's content as it was stored, and what damage was found since."""

    digests: Digests
    damaged: str = ""

    def texts(self, prefix: str = "") -> dict[str, str]:
        """Return the notes as keys and values of text; *prefix* stands before the names of algorithms."""
        digests = {prefix + name: value.hex() for name, value in self.digests.items()}
        return {**digests, DAMAGED: self.damaged} if self.damaged else digests

    @classmethod
    def of_texts(cls, texts: Mapping[str, str], prefix: str = "") -> Self:
        """Return the notes that *texts* say; what is not a digest in hex is left out."""
        digests = {}
        for key, text in texts.items():
            if key.startswith(prefix) and key != DAMAGED:
                with suppress(ValueError):
                    digests[key.removeprefix(prefix)] = bytes.fromhex(text)
        return cls(digests, texts.get(DAMAGED, ""))
