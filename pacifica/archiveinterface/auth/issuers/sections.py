"""The file of the issuers whose tokens the service accepts: an INI file with a section for each, named as its iss."""

from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from typing import NamedTuple

from ...exception import ConfigurationError
from ...options import Parser, at_least, option, parse_options, read_sections
from ..permissions import Grant, IdRanges, Permission
from ..scopes import PROFILES, Ranges, path_segments
from .claims import ALGORITHMS
from .fetching import issuer_url

_WITH_STAT = frozenset(Permission) - {Permission.POLL, Permission.ADMIN}
_PERMISSIONS = {permission.value: permission for permission in Permission}


class ClaimRule(NamedTuple):
    """What a token gets whose *claim* has the *value*."""

    claim: str
    value: str
    grant: Grant


def _words_of(*known: str) -> Parser:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(text.split())
        if not set(words) <= set(known):
            raise ValueError(f"words of {', '.join(known)}")
        return words

    return parse


def _url(text: str) -> str:
    return issuer_url(text) if text else ""


def _base_path(text: str) -> str:
    if path_segments(text) is None:
        raise ValueError("a path that begins with a slash, without dot segments and percent-encoding")
    return text


def _permissions(text: str) -> frozenset[Permission]:
    return frozenset(_PERMISSIONS[word] for word in _words_of(*_PERMISSIONS)(text))


def _most(text: str) -> frozenset[Permission]:
    """Parse the permissions of a section; what a scope allows with any of them needs not be listed."""
    permissions = _permissions(text)
    return permissions | {Permission.STAT} if permissions & _WITH_STAT else permissions


def _ids(text: str) -> Ranges | None:
    return IdRanges.parse(text.split()).ranges if text else None


def _rules(text: str) -> tuple[ClaimRule, ...]:
    return tuple(_rule(line) for line in text.splitlines() if line.strip())


def _rule(line: str) -> ClaimRule:
    match, colon, words = line.strip().rpartition(":")
    claim, _, value = match.strip().partition(" ")
    permissions = [word for word in words.split() if word in _PERMISSIONS]
    ids = words.split()[len(permissions) :]  # a permission behind an id is not an id
    if not (colon and value.strip() and permissions):
        raise ValueError("lines of CLAIM VALUE: PERMISSIONS [IDS]")
    grant = Grant(_permissions(" ".join(permissions)), IdRanges.parse(ids) if ids else None)
    return ClaimRule(claim, value.strip(), grant)


@dataclass(frozen=True)
class Issuer:
    """How the tokens of an issuer are verified, and the most that they can grant."""

    audience: tuple[str, ...] = option(
        "",
        "the audiences, separated by blanks, of which a token must name one in `aud`: the URLs of this service."
        " `https://wlcg.cern.ch/jwt/v1/any` and `ANY`, which stand for every service, hold only if they are listed."
        " Needed",
        lambda text: tuple(text.split()),
    )
    permissions: frozenset[Permission] = option(
        "",
        "the most that the scopes and claims of a token can grant: read, stat, write, replace, stage, poll, delete,"
        " move, admin. All but poll and admin bring stat with them. Empty: nothing, and the permissions file says what"
        " each user may do",
        _most,
    )
    ids: tuple[tuple[int, int], ...] | None = option(
        "", "the ids for which a token can grant that, such as `7 1000-1999 5000-`; empty: all", _ids
    )
    scopes: tuple[str, ...] = option(
        "wlcg scitokens",
        "the storage scopes that are understood: `wlcg` (storage.read and so on), `scitokens` (read, write). A token"
        " that has any grants what its scopes grant, and nothing for its other claims",
        _words_of(*PROFILES),
    )
    base_path: str = option(
        "/",
        "the path below which the archive is in the storage scopes of this issuer: with `/pacifica`, the file 12345 is"
        " `/pacifica/12345` in them",
        _base_path,
    )
    claims: tuple[ClaimRule, ...] = option(
        "",
        "what tokens without storage scopes grant for their claims: lines of `CLAIM VALUE: PERMISSIONS [IDS]`, such as"
        " `wlcg.groups /dune/archivists: read write 1-99999`. `realm_access.roles` is a claim within a claim",
        _rules,
    )
    algorithms: tuple[str, ...] = option(
        "RS256 ES256", f"the algorithms of its signatures: of {', '.join(ALGORITHMS)}", _words_of(*ALGORITHMS)
    )
    jwks_uri: str = option(
        "",
        "the URL of its keys (JWK Set), with https, or with http on this host. Empty: the one that"
        " `<issuer>/.well-known/openid-configuration` names",
        _url,
    )
    leeway: float = option("60", "seconds by which its clock and that of this host may differ", at_least(0, float))
    keys_refresh: float = option(
        "300", "seconds after which its keys are fetched again, in the background", at_least(0, float)
    )
    keys_kept: float = option(
        "24", "hours for which its keys are used when they cannot be fetched again", at_least(0, float)
    )
    keys_timeout: float = option("5", "seconds in which a document of it must arrive", at_least(0.1, float))


def read_issuers(path: str) -> Mapping[str, Issuer]:
    """Return the issuers in the file at *path* by their names. Raises ConfigurationError."""
    sections = read_sections(path, ConfigParser(interpolation=None))
    if not sections:
        raise ConfigurationError(f"{path}: no [section] of an issuer")
    return {name: _issuer(f"{path}: [{name}]", name, texts) for name, texts in sections.items()}


def _issuer(place: str, name: str, texts: Mapping[str, str]) -> Issuer:
    issuer: Issuer = parse_options(place, Issuer, texts)
    for needed in ("audience", "algorithms"):
        if not getattr(issuer, needed):
            raise ConfigurationError(f"{place} {needed} is not set")
    if not issuer.jwks_uri:
        try:
            issuer_url(name)
        except ValueError as error:
            raise ConfigurationError(f"{place} is not {error}, and has no jwks_uri") from error
    return issuer
