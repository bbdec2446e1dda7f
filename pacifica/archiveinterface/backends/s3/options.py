"""The options of section [s3]."""

from dataclasses import dataclass

from ...options import at_least, boolean, one_of, option

MIB = 1 << 20  # bytes


@dataclass(frozen=True)
class S3Options:
    """The S3 backend; limits are those of each process."""

    bucket: str = option("", "the bucket, if the prefix is not given as s3://bucket/path")
    prefix: str = option("", "the path below the bucket, if the prefix is not given as s3://bucket/path")
    endpoint_url: str = option("", "URL of the store; empty: AWS, or what AWS_ENDPOINT_URL_S3 names")
    region: str = option("", "region of the bucket; empty: what AWS_DEFAULT_REGION or the profile names")
    addressing_style: str = option(
        "auto",
        "where requests name the bucket; `path`: in the path, as most stores other than AWS want it; `virtual`: in the"
        " host name; `auto`: as boto3 decides",
        one_of("auto", "path", "virtual"),
    )
    credentials_file: str = option(
        "", "file with access keys, in the form of ~/.aws/credentials; empty: boto3 searches in its usual places"
    )
    profile: str = option("", "profile in the credentials file; empty: AWS_PROFILE or default")
    create_bucket: bool = option(
        "false", "whether a bucket that does not exist is created at the start, for trials", boolean
    )
    storage_class: str = option("", "storage class of new objects, e.g. DEEP_ARCHIVE; empty: as the store decides")
    archive_classes: tuple[str, ...] = option(
        "GLACIER DEEP_ARCHIVE",
        "storage classes, separated by blanks, whose objects are offline until they are restored",
        lambda text: tuple(text.split()),
    )
    restore_tier: str = option(
        "Standard",
        "how fast, and at which price, objects are restored: `Standard`, `Bulk` or `Expedited`; `none`: it is not sent,"
        " for stores that do not know it",
        one_of("Standard", "Bulk", "Expedited", "none"),
    )
    restore_days: int = option(
        "7", "days that a restored copy stays; 0: no number is sent, for stores that restore for good", at_least(0, int)
    )
    restore_calls: int = option("16", "number of calls for many files in progress at a time", at_least(1, int))
    part_size: int = option(
        "16777216",
        "bytes of a part of an upload; larger bodies are sent in parts, which grow so that 10,000 are enough",
        at_least(5 * MIB, int),
    )
    copy_size: int = option(
        "1073741824",
        "bytes that PATCH has the store copy by one call; larger files are copied in parts of this size. A call has"
        " `read_timeout` to be answered, and most stores copy no more than 5 GiB by one",
        at_least(5 * MIB, int),
    )
    parallel_parts: int = option("4", "parts of one upload that are sent at a time", at_least(1, int))
    upload_memory: int = option(
        "1073741824", "bytes of memory for the parts of all uploads in progress", at_least(5 * MIB, int)
    )
    checksum: str = option(
        "crc32",
        "checksum of each part that the store verifies: `crc32`, `sha256`, or, with the package awscrt, `crc32c` or"
        " `crc64nvme`",
        one_of("crc32", "sha256", "crc32c", "crc64nvme"),
    )
    checksum_mode: str = option(
        "when_supported",
        "`when_supported`: checksums are sent and verified; `when_required`: for stores that do not know them; parts"
        " are then sent with Content-MD5",
        one_of("when_supported", "when_required"),
    )
    connect_timeout: float = option("5", "seconds to wait for a connection to the store", at_least(0.1, float))
    read_timeout: float = option("60", "seconds to wait for an answer of the store", at_least(0.1, float))
    attempts: int = option("4", "number of times that a call is tried", at_least(1, int))
    pool_size: int = option(
        "100",
        "most connections to the store that are kept open for GET and HEAD of files, and for all other calls",
        at_least(1, int),
    )
    encryption: str = option(
        "", "server-side encryption of new objects: `AES256` or `aws:kms`; empty: as the bucket has it"
    )
    encryption_key: str = option("", "the key of aws:kms; empty: the key of the bucket")
    abandoned_seconds: float = option(
        "86400",
        "seconds without a new part after which a start of the service removes an upload that was not finished",
        at_least(0, float),
    )
