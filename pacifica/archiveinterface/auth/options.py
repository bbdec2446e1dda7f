"""The options of section [auth]."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from ..options import absolute_path, at_least, boolean, one_of, option

_REALM = re.compile(r"[A-Za-z0-9 ._:/-]+")  # stands between quotes
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def _realm(text: str) -> str:
    if not _REALM.fullmatch(text):
        raise ValueError("letters, digits, blanks and . _ : / -")
    return text


def _header(text: str) -> str:
    if text and not _HEADER.fullmatch(text):
        raise ValueError("the name of a header: letters, digits and hyphens")
    return text


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(word) for word in text.split())
    except ValueError:
        raise ValueError("addresses or networks, separated by blanks: 127.0.0.1 ::1 192.0.2.0/24") from None


@dataclass(frozen=True)
class AuthOptions:
    """Users, and what they may do. Without users, every client that reaches the service may do everything."""

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
    issuers_file: str = option(
        "",
        "absolute path of the file of the issuers whose signed tokens (JWT: WLCG, SciTokens, OpenID Connect) are"
        " accepted; empty: no such tokens",
        absolute_path,
    )
    client_certificates: str = option(
        "ignored",
        "whether the subject of a client certificate, which the server has verified, is the name of a user (`names`)"
        " or not (`ignored`)",
        one_of("ignored", "names"),
    )
    proxy_header: str = option(
        "",
        "the header, such as `X-Remote-User`, in which a reverse proxy gives the name of the user whom it has"
        " authenticated; requests of others that have it are refused. Empty: no header",
        _header,
    )
    proxy_addresses: tuple[IPv4Network | IPv6Network, ...] = option(
        "",
        "addresses or networks of these reverse proxies, separated by blanks: `192.0.2.1 198.51.100.0/24`",
        _networks,
    )
    remote_user: str = option(
        "ignored",
        "whether the variable REMOTE_USER, which nginx sets with `uwsgi_param` and Apache by itself, is the name of a"
        " user (`names`) or not (`ignored`)",
        one_of("ignored", "names"),
    )
