"""The options of section [auth]."""

import re
from dataclasses import dataclass

from ..options import absolute_path, at_least, boolean, option

_REALM = re.compile(r"[A-Za-z0-9 ._:/-]+")  # stands between quotes


def _realm(text: str) -> str:
    if not _REALM.fullmatch(text):
        raise ValueError("letters, digits, blanks and . _ : / -")
    return text


@dataclass(frozen=True)
class AuthOptions:
    """Users, and what they may do. Without users, whoever reaches the service may do everything."""

    enabled: bool = option(
        "false", "whether requests need a user, and the permissions of `permissions_file` hold", boolean
    )
    permissions_file: str = option(
        "",
        "absolute path of the file that says what each user may do; it is needed when users are enabled",
        absolute_path,
    )
    password_file: str = option(
        "",
        "absolute path of a file of names and passwords as `htpasswd -B` writes it (bcrypt); empty: no passwords",
        absolute_path,
    )
    token_file: str = option(
        "",
        "absolute path of the file of tokens, which `pacifica-archiveinterface-cmd token` writes; empty: no tokens",
        absolute_path,
    )
    realm: str = option("archive", "what clients are told that they log in to", _realm)
    password_checks: int = option(
        "1",
        "how many passwords each process checks at a time; each check occupies a core for the time of its hash, and"
        " clients that guess passwords occupy no more cores than these",
        at_least(1, int),
    )
