"""The options of section [limits]."""

from dataclasses import dataclass

from ..options import absolute_path, at_least, option, secret
from .allowances import Allowance, allowance, most


@dataclass(frozen=True)
class LimitOptions:
    """What may be stored, asked for and transferred; all nodes of an archive have the same options and database."""

    quota_bytes: int | None = option(
        "",
        "most bytes of all files together, such as `500T` or `500Ti`; more is answered with 507; empty: no limit",
        most,
    )
    quota_files: int | None = option("", "most files in all; more is answered with 507; empty: no limit", most)
    principal: Allowance = option(
        "",
        "what each principal may use, `bytes 10T, files 1000000, requests 50/s, burst 100, transfers 8`, or some of"
        " these; without [auth], all clients are one principal; empty: no limit",
        allowance,
    )
    principals_file: str = option(
        "",
        "path of a file with a line `name = bytes 10T, ...` for each principal that may use more or less than others;"
        " `anonymous` is those who have no name; empty: none",
        absolute_path,
    )
    database: str = secret(
        "",
        "URL of the database that all processes and nodes count in, in the form of that of [recalls]; each archive"
        " needs its own; empty: a SQLite file beside that of [recalls]",
    )
    database_timeout: float = option("10", "seconds to wait for an answer of the database", at_least(0.1, float))
    lease_seconds: float = option(
        "60",
        "seconds after which what a process holds that has died, the space of its uploads and its transfers, is free",
        at_least(1, float),
    )
