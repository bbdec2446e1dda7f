"""The options of section [hsm_sideband]."""

from dataclasses import dataclass

from ...options import at_least, one_of, option, port, secret, shell_words


@dataclass(frozen=True)
class HsmSidebandOptions:
    """The Oracle HSM (SAM-QFS) backend and its sideband database; limits are those of each process."""

    sam_qfs_prefix: str = option(
        "/hsm/prefix", "path of the prefix below the mount point, as the database has it: `/` for the whole mount"
    )
    schema: str = option("schema_name", "name of the sideband database")
    host: str = option("host", "host of the database server")
    user: str = option("user", "database account; the privilege SELECT on the schema suffices")
    password: str = secret("pass", "password of the account")
    password_file: str = option("", "file whose first line is the password; it takes precedence over `password`")
    password_env: str = option(
        "", "environment variable that holds the password; it takes precedence over `password_file` and `password`"
    )
    port: int = option("3306", "port of the database server", port)
    unix_socket: str = option(
        "", "socket of a database server on this machine; it takes precedence over `host` and `port`"
    )
    tls: str = option(
        "preferred",
        "encryption of the connections: `off`, `preferred` (if the server offers it), `required`, `verify_ca` (the"
        " server's certificate is verified) or `verify_identity` (its host name is verified, too)",
        one_of("off", "preferred", "required", "verify_ca", "verify_identity"),
    )
    tls_ca: str = option(
        "", "file of the certification authorities that may sign the server's certificate; empty: those of the system"
    )
    tls_cert: str = option("", "file of the client certificate that the service presents to the server")
    tls_key: str = option("", "file of the private key of `tls_cert`; empty: the key is in the file `tls_cert`")
    pool_size: int = option("10", "number of connections that a process may open", at_least(1, int))
    connect_timeout: float = option("2", "seconds to wait for a connection", at_least(1, float))
    read_timeout: float = option("2", "seconds to wait for an answer of the database", at_least(1, float))
    retry_seconds: float = option(
        "5", "seconds without queries after the database has not answered one", at_least(0, float)
    )
    residency: str = option(
        "auto",
        "source that tells whether a file is on disk: `sam_stat` (libsam), `database`, the allocated `blocks`, or"
        " `auto`, the first of these that has an answer",
        one_of("auto", "database", "sam_stat", "blocks"),
    )
    stager: str = option(
        "auto",
        "how files are recalled: through `libsam`, by `command`, by `read` (of the last byte, in the background), or"
        " `auto`, the first of these that this server has",
        one_of("auto", "libsam", "command", "read"),
    )
    libsam: str = option(
        "/opt/SUNWsamfs/lib/libsam.so", "path of the library for `residency = sam_stat` and `stager = libsam`"
    )
    stage_command: tuple[str, ...] = option(
        "",
        "command for `stager = command`, run without a shell; the path of the file becomes its last argument",
        shell_words,
    )
    cancel_command: tuple[str, ...] = option(
        "",
        "command that withdraws recalls, run without a shell; paths become its last arguments; empty: through libsam,"
        " where this server has it",
        shell_words,
    )
    release_command: tuple[str, ...] = option(
        "",
        "command that releases disk copies, run without a shell; paths become its last arguments; empty: through"
        " libsam, where this server has it",
        shell_words,
    )
    stage_timeout: float = option(
        "60",
        "seconds after which a stage, cancel or release command that has not ended is killed, with its child processes",
        at_least(0.1, float),
    )
    stage_batch: int = option(
        "1",
        "number of paths that one cancel or release command may get, and with `stager = command` one stage command",
        at_least(1, int),
    )
    stage_read_timeout: float = option(
        "3600", "seconds that `stager = read` waits for the tape before the recall has failed", at_least(0.1, float)
    )
    recall_threads: int = option("8", "number of recalls that a process waits for at a time", at_least(1, int))
    recall_queue: int = option(
        "200000",
        "number of files that may wait in a process until their recall is submitted; a request for one more is answered"
        " with 503",
        at_least(1, int),
    )
