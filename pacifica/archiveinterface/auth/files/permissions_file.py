"""The file of the permissions: a line for each principal."""

import difflib
import re
from collections.abc import Iterator

from ..permissions import ANONYMOUS, Grant, IdRanges, Permission, Principal

_DEFAULT = "default"
_LOCAL = ("password", "token")  # the site itself gives these names: one name is one principal
_HOWS = (*_LOCAL, "jwt", "certificate", "proxy")
_PERMISSIONS = {permission.value: permission for permission in Permission}
_FORM = "a line is NAME = PERMISSIONS, for example: alice = read, stage 1-999"

Grants = tuple[Grant, ...]


class Permissions:
    """What each principal may do."""

    def __init__(self, grants: dict[str, Grants]) -> None:
        """Hold the *grants* of each name in the file."""
        self._grants = grants
        self.anonymous = grants.get(ANONYMOUS, ())
        """What everybody may do."""
        self._default = grants.get(_DEFAULT, ()) + self.anonymous

    @classmethod
    def parse(cls, text: str) -> "Permissions":
        """Return the permissions that *text* grants. Raises ValueError, which begins with the number of the line."""
        grants: dict[str, Grants] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                name, granted = _read(line)
                if name in grants:
                    raise ValueError(f"{name} has a line already: write all its grants in one, with ; between them")
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            grants[name] = granted
        return cls(grants)

    def granted(self, principal: Principal) -> Grants:
        """Return what *principal*, who has said who it is, may do."""
        found = self._default
        for key in _keys_of(principal):
            found = self._grants.get(key, ()) + found
        return found

    def __len__(self) -> int:
        """Return how many principals have lines of their own."""
        return len(self._grants.keys() - {ANONYMOUS, _DEFAULT})


def is_plain_name(name: str) -> bool:
    """Return whether a user or a token can have this *name*, and a line of the file can mean it."""
    return name.isprintable() and name == name.strip() and not set(name) & {":", "="} and not name.startswith("#")


def _keys_of(principal: Principal) -> Iterator[str]:
    """Yield the names that lines may have for *principal*."""
    if principal.how == "jwt":
        yield f"jwt:{principal.issuer}#{principal.name}"
        return
    yield f"{principal.how}:{principal.name}"
    if principal.how in _LOCAL and principal.name not in (ANONYMOUS, _DEFAULT):
        yield principal.name


def _read(line: str) -> tuple[str, Grants]:
    # A certificate's name has equals signs, permissions have none.
    name, equals, permissions = (part.strip() for part in line.rpartition("="))
    if not equals or not name:
        raise ValueError(_FORM)
    _check_name(name)
    parts = [part.strip() for part in permissions.split(";")]
    if "" in parts:
        raise ValueError(f"{name} is granted nothing, before or after an = or a ;: {_FORM}; or remove the line")
    return name, tuple(map(_grant, parts))


def _check_name(name: str) -> None:
    how, colon, rest = name.partition(":")
    if not colon:
        return
    if how not in _HOWS:
        raise ValueError(f"{how}: is not a kind of principal; the kinds are {', '.join(f'{how}:' for how in _HOWS)}")
    if not rest:
        raise ValueError(f"a name is missing after {how}:")
    if how == "jwt" and not all(rest.partition("#")):
        raise ValueError("the subject of a token is written jwt:ISSUER#SUBJECT")


def _grant(text: str) -> Grant:
    words = re.split(r"[,\s]+", text.strip(", \t"))
    count = next((place for place, word in enumerate(words) if not word[:1].isalpha()), len(words))
    permissions = frozenset(map(_permission, words[:count]))
    if not permissions:
        raise ValueError(f"ids stand after the permissions that they limit: {_FORM}")
    late = next((word for word in words[count:] if word in _PERMISSIONS), None)
    if late:
        raise ValueError(f"{late} stands after ids: write ; before it")
    return Grant(permissions, IdRanges.parse(words[count:]) if count < len(words) else None)


def _permission(word: str) -> Permission:
    if word not in _PERMISSIONS:
        nearest = difflib.get_close_matches(word, _PERMISSIONS, n=1)
        advice = f"; did you mean {nearest[0]}?" if nearest else ""
        raise ValueError(f"{word!r} is not a permission, which are {', '.join(_PERMISSIONS)}{advice}")
    return _PERMISSIONS[word]
