"""The options of section [hpss]."""

from dataclasses import dataclass

from ...options import at_least, host_and_port, one_of, option


@dataclass(frozen=True)
class HpssOptions:
    """The IBM HPSS backend; limits are those of each process."""

    auth: str = option("/var/hpss/etc/hpss.unix.keytab", "keytab file of the HPSS user")
    mechanism: str = option("unix", "authentication mechanism: `unix` or `krb5`", one_of("unix", "krb5"))
    sitename: str = option("example.com", "site name of the HPSS realm")
    user: str = option("hpss", "HPSS user that owns the archive")
    accept_latency: float = option(
        "5", "seconds that the core server may take to answer before requests are answered with 503", at_least(0, float)
    )
    library: str = option("/opt/hpss/lib/libhpss.so", "path of the HPSS client library")
    retries: int = option("1", "number of times that the client library retries a lost connection", at_least(0, int))
    busy_delay: int = option("2", "seconds that it waits before it retries a busy server", at_least(0, int))
    busy_retries: int = option("3", "number of times that it retries a busy server", at_least(0, int))
    calls: int = option("16", "number of reads and writes of HPSS in progress at a time", at_least(1, int))
    call_timeout: float = option(
        "600",
        "seconds that one read or write may take before the answer is 503; longer than reading from tape takes",
        at_least(0, float),
    )
    metadata_calls: int = option("8", "number of other calls to HPSS in progress at a time", at_least(1, int))
    metadata_timeout: float = option(
        "30", "seconds that one of these calls may take before the answer is 503", at_least(0, float)
    )
    waiting: int = option(
        "75",
        "number of requests that may wait for HPSS at a time, others are answered with 503; fewer than the server has"
        " threads",
        at_least(1, int),
    )
    cos_id: int = option("0", "class of service of new files; 0 lets HPSS choose by their size", at_least(0, int))
    family_id: int = option("0", "file family of new files; 0 for none", at_least(0, int))
    io_block_size: int = option("4194304", "bytes that one read or write of HPSS transfers", at_least(1, int))
    stage_batch: int = option(
        "100",
        "number of files of one volume that one call asks HPSS to recall, from HPSS 9.3 on; with 1 and before 9.3, each"
        " file has a call of its own",
        at_least(1, int),
    )
    callback_address: tuple[str, int] | None = option(
        "", "`host:port` that HPSS notifies when a recall has ended, for sites with a program there", host_and_port
    )
    stage_timeout: float = option(
        "3600",
        "seconds that a GET waits for a recall with `offline_read = wait` before the answer is 503",
        at_least(0, float),
    )
