"""The five tables of the sideband database, and the rows they begin with."""

OFFSET_SPELLINGS = ("offset", "off_set")

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS sam_inode (
        ino INT UNSIGNED NOT NULL,
        gen INT UNSIGNED NOT NULL,
        type TINYINT UNSIGNED NOT NULL,
        size BIGINT UNSIGNED DEFAULT 0,
        csum CHAR(32),
        create_time INT UNSIGNED DEFAULT 0,
        modify_time INT UNSIGNED DEFAULT 0,
        uid INT UNSIGNED NOT NULL,
        gid INT UNSIGNED NOT NULL,
        online TINYINT UNSIGNED NOT NULL,
        PRIMARY KEY (ino, gen)
    )
    """,
    # The whole of a VARCHAR(4096) is too long for a key: MariaDB cuts it with a note, MySQL refuses.
    """
    CREATE TABLE IF NOT EXISTS sam_path (
        ino INT UNSIGNED NOT NULL,
        gen INT UNSIGNED NOT NULL,
        path VARCHAR(4096),
        PRIMARY KEY (ino, gen),
        INDEX (path(767))
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS sam_file (
        p_ino INT UNSIGNED NOT NULL,
        p_gen INT UNSIGNED NOT NULL,
        name_hash SMALLINT UNSIGNED NOT NULL,
        name VARCHAR(256) NOT NULL,
        ino INT UNSIGNED NOT NULL,
        gen INT UNSIGNED NOT NULL,
        PRIMARY KEY (p_ino, p_gen, name_hash, name),
        INDEX (ino, gen)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS sam_archive (
        ino INT UNSIGNED NOT NULL,
        gen INT UNSIGNED NOT NULL,
        copy TINYINT UNSIGNED NOT NULL,
        seq SMALLINT UNSIGNED NOT NULL,
        media_type CHAR(4) NOT NULL,
        vsn CHAR(32) NOT NULL,
        position BIGINT UNSIGNED NOT NULL,
        `{offset}` INT UNSIGNED NOT NULL,
        size BIGINT UNSIGNED NOT NULL,
        create_time INT UNSIGNED DEFAULT 0,
        stale TINYINT UNSIGNED DEFAULT 0,
        PRIMARY KEY (ino, gen, copy, seq),
        INDEX (media_type, vsn)
    )
    """,
    "CREATE TABLE IF NOT EXISTS sam_version (id INT UNSIGNED, version DOUBLE)",
)

_SEEDS = (
    "INSERT IGNORE INTO sam_inode VALUES (2, 2, 1, 0, NULL, 0, 0, 0, 0, 1)",
    "INSERT IGNORE INTO sam_path VALUES (2, 2, '/')",
    # Without a key nothing is ignored here: run twice, it leaves two rows, as the original does.
    "INSERT IGNORE INTO sam_version VALUES (0, 1.0)",
)


def schema(offset: str = "offset") -> tuple[str, ...]:
    """Return the statements that make the tables, with the column of sam_archive spelt *offset*."""
    return tuple(table.format(offset=offset) for table in _TABLES) + _SEEDS
