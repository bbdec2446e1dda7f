"""The options of section [pages]."""

from dataclasses import dataclass

from ..options import absolute_path, host_and_port, one_of, option

LOCAL, OPEN, TOKEN, USERS = "local", "open", "token", "users"


@dataclass(frozen=True)
class PagesOptions:
    """Who may read the service's own pages. `/-/health`, `/-/ready` and `/-/version` are open to all."""

    metrics: str = option(
        LOCAL,
        "who may read `/-/metrics`; `local`: clients on this host, not through a reverse proxy; `open`: everybody;"
        " `token`: who sends the token; `users`: who has the permission `admin` for all files, of `[auth]`",
        one_of(LOCAL, OPEN, TOKEN, USERS),
    )
    recalls: str = option(
        OPEN, "who may read `/-/recalls` and `/-/recalls/events`, in the same words", one_of(OPEN, LOCAL, TOKEN, USERS)
    )
    token_file: str = option(
        "",
        "absolute path of a file with the token, which clients send as `Authorization: Bearer TOKEN`; it is read anew"
        " for each request",
        absolute_path,
    )
    address: tuple[str, int] | None = option(
        "",
        "`host:port` for the pages alone: `/-/metrics`, `/-/recalls` and `/-/recalls/events` are then found there"
        " only, and no files; the launcher listens on it, other servers have to be told to; empty: no other port",
        host_and_port,
    )
    metrics_directory: str = option(
        "",
        "directory of a file in which processes of a server count together that each load the application themselves;"
        " the launcher and uWSGI without `lazy-apps` need none",
        absolute_path,
    )
