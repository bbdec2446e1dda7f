"""A backend whose prefix is a URL, with a section of config.ini of its own; it keeps its files in memory."""

from dataclasses import dataclass

from docs.examples.memory_backend import MemoryBackendArchive
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.exception import ConfigurationError, FileIdError
from pacifica.archiveinterface.options import at_least, option, secret

SCHEME = "bucket:/"


@dataclass(frozen=True)
class BucketOptions:
    """The bucket backend."""

    access_key: str = option("", "name of the access key")
    secret_key: str = secret("", "secret of the access key")
    longest_key: int = option("1024", "bytes that the key of a file may have", at_least(1, int))


class BucketBackendArchive(MemoryBackendArchive):
    """Files in a bucket, which ``bucket://NAME`` stands for."""

    section = "bucket"
    options_type = BucketOptions

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: BucketOptions | None = None
    ) -> None:
        """Serve the files of the bucket *prefix*, a URL."""
        if not prefix.startswith(f"{SCHEME}/"):
            raise ConfigurationError(f"prefix {prefix!r} is not bucket://NAME")
        super().__init__(prefix.removeprefix(SCHEME), archive_options)
        self._options = options or BucketOptions()
        if self._options.access_key and not self._options.secret_key:
            raise ConfigurationError("[bucket] access_key needs a secret_key")

    def path_of(self, filepath: str) -> str:
        """Return the key of the file *filepath*. Raises FileIdError when it is too long."""
        key = super().path_of(filepath)
        if len(key) > self._options.longest_key:
            raise FileIdError(f"the key of a file has at most {self._options.longest_key} bytes")
        return key
