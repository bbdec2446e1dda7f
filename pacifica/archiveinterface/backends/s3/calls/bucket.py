"""The calls to one bucket of a store, as functions of keys and bytes."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

from ....exception import BackendUnavailableError, MissingFileError, OfflineError, StorageError
from ..options import S3Options
from .client import client_of
from .direct import direct_to
from .errors import StoreConditionError, translated_store_errors

Answer = Mapping[str, Any]
"""What boto3 returns."""
Part = dict[str, Any]
"""A part that the store has, as CompleteMultipartUpload wants it."""
Content = bytes | bytearray
_CONTENT_TYPE = "application/octet-stream"
_DESCRIPTION = ("ETag", "ContentLength", "LastModified")
_ANSWERED: dict[str, tuple[str, ...]] = {  # what must be in an answer, by boto3's names
    "head_object": _DESCRIPTION,
    "get_object": _DESCRIPTION,
    "put_object": ("ETag",),
    "copy_object": ("CopyObjectResult",),
    "create_multipart_upload": ("UploadId",),
    "upload_part": ("ETag",),
    "upload_part_copy": ("CopyPartResult",),
    "complete_multipart_upload": ("ETag",),
}
CHECKSUMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA256")


class Condition(NamedTuple):
    """What the store compares before it writes or removes: an entity tag of its own, or that nothing is there."""

    match: str = ""
    is_new: bool = False

    @property
    def parameters(self) -> dict[str, str]:
        """The condition as boto3 wants it."""
        if self.match:
            return {"IfMatch": self.match}
        return {"IfNoneMatch": "*"} if self.is_new else {}


ALWAYS = Condition()


class Bucket:
    """The objects of the bucket *name*, by their keys; every method raises the errors of `errors`."""

    def __init__(self, name: str, options: S3Options) -> None:
        """Use the store that *options* name; nothing is asked yet."""
        self.name = name
        self.options = options
        self._has_checksums = options.checksum_mode == "when_supported"

    def require(self) -> None:
        """Raise an error when the bucket cannot be listed now."""
        self._call("list_objects_v2", MaxKeys=1)

    def create(self) -> None:
        """Make the bucket, in the region of the client."""
        region = client_of(self.options).meta.region_name
        # AWS has no name for its first region here, and wants one for every other.
        is_named = region not in (None, "", "aws-global", "us-east-1")
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if is_named else {}
        self._call("create_bucket", **place)

    def head(self, key: str) -> Answer:
        """Return what the store says of the object *key*."""
        return self._call_whole("head_object", key)

    def get(self, key: str, first: int = 0, match: str = "") -> Answer:
        """Return the object *key* from its byte *first* on, with a stream in Body; *match* is its entity tag.

        Raises StorageError when the store ignores either.
        """
        parameters = {**({"Range": f"bytes={first}-"} if first else {}), **Condition(match).parameters}
        answer = self._call("get_object", Key=key, **parameters) if parameters else self._call_whole("get_object", key)
        begins = str(answer.get("ContentRange", "bytes 0-"))
        if match not in ("", answer["ETag"]) or not begins.startswith(f"bytes {first}-"):
            answer["Body"].close()
            raise StorageError("the storage answers with other bytes than it was asked for")
        return answer

    def read(self, key: str) -> bytes:
        """Return the content of the small object *key*."""
        body = self.get(key)["Body"]
        with translated_store_errors(), closing(body):
            return bytes(body.read())

    def put(self, key: str, content: Content, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> Answer:
        """Store *content* as the object *key*."""
        parameters = {**self._creation(metadata), **self._check(content), **condition.parameters}
        return self._publish("put_object", Key=key, Body=content, **parameters)

    def put_notes(self, key: str, content: bytes, condition: Condition = ALWAYS) -> None:
        """Store *content* as the object *key*, in the class that is read at once, if the *condition* holds."""
        parameters = {**self._encryption(), **self._check(content), **condition.parameters}
        self._publish("put_object", Key=key, Body=content, **parameters)

    def create_upload(self, key: str, metadata: Mapping[str, str]) -> str:
        """Begin an upload in parts to *key* and return its id."""
        checksum = {"ChecksumAlgorithm": self.options.checksum.upper()} if self._has_checksums else {}
        return str(self._call("create_multipart_upload", Key=key, **checksum, **self._creation(metadata))["UploadId"])

    def put_part(self, key: str, upload: str, number: int, content: Content) -> Part:
        """Send *content* as the part *number*, which counts from 1."""
        answer = self._call(
            "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=content, **self._check(content)
        )
        return {"ETag": answer["ETag"], "PartNumber": number, **_checksums(answer)}

    def copy_part(self, key: str, upload: str, number: int, source: Mapping[str, str], first: int, last: int) -> Part:
        """Make the bytes *first* to *last* of the object *source* the part *number*."""
        span = {"CopySourceRange": f"bytes={first}-{last}"}
        answered = self._call("upload_part_copy", Key=key, UploadId=upload, PartNumber=number, **span, **source)
        answer = answered["CopyPartResult"]
        return {"ETag": answer["ETag"], "PartNumber": number, **_checksums(answer)}

    def complete(self, key: str, upload: str, parts: Iterable[Part], condition: Condition = ALWAYS) -> Answer:
        """Make the *parts*, in order, the object *key*."""
        listed = {"Parts": list(parts)}
        return self._publish(
            "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload=listed, **condition.parameters
        )

    def abort(self, key: str, upload: str) -> None:
        """Abort the upload, and remove its parts."""
        self._call("abort_multipart_upload", Key=key, UploadId=upload)

    def source(self, key: str, match: str) -> dict[str, Any]:
        """Return the object *key*, with the entity tag *match*, as the source of a copy."""
        return {"CopySource": {"Bucket": self.name, "Key": key}, "CopySourceIfMatch": match}

    def copy(
        self,
        key: str,
        source: Mapping[str, Any],
        metadata: Mapping[str, str],
        condition: Condition = ALWAYS,
        storage_class: str = "",
    ) -> Answer:
        """Copy the object *source* to *key* with new *metadata*; at most 5 GB.

        Its class will be *storage_class*, or that of new objects.
        """
        parameters = {**self._creation(metadata), **condition.parameters}
        if storage_class:
            parameters["StorageClass"] = storage_class
        return self._call("copy_object", Key=key, MetadataDirective="REPLACE", **source, **parameters)

    def delete(self, key: str, condition: Condition = ALWAYS) -> None:
        """Remove the object *key*, if there is one."""
        self._call("delete_object", Key=key, **condition.parameters)

    def restore(self, key: str, days: int, tier: str) -> Answer:
        """Ask for a readable copy of the archived object *key* for *days*; 0 days and no *tier* are not sent.

        The call is made once: if the store is busy, the recall service tries again later.
        """
        request: dict[str, Any] = {"Days": days} if days else {}
        if tier:
            request["GlacierJobParameters"] = {"Tier": tier}
        once = Bucket(self.name, replace(self.options, attempts=1))
        return once._call("restore_object", Key=key, RestoreRequest=request)

    def pages(self, call: str, **parameters: Any) -> Iterator[Answer]:
        """Yield the pages of the listing *call*, by boto3's name of it."""
        client = client_of(self.options)
        with translated_store_errors():
            yield from client.get_paginator(call).paginate(Bucket=self.name, **parameters)

    def has_any(self, start: str) -> bool:
        """Return whether the key of any object begins with *start*."""
        return bool(self._call("list_objects_v2", Prefix=start, MaxKeys=1).get("Contents"))

    def presigned_url(self, key: str, seconds: int) -> str:
        """Return a URL at which anybody can read the object *key* for so many seconds."""
        client = client_of(self.options)
        with translated_store_errors():
            place = {"Bucket": self.name, "Key": key}
            return str(client.generate_presigned_url("get_object", Params=place, ExpiresIn=seconds))

    def _creation(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Return the parameters of each call that creates an object."""
        chosen = {"StorageClass": self.options.storage_class} if self.options.storage_class else {}
        return {"Metadata": dict(metadata), "ContentType": _CONTENT_TYPE, **chosen, **self._encryption()}

    def _encryption(self) -> dict[str, str]:
        parameters = {"ServerSideEncryption": self.options.encryption, "SSEKMSKeyId": self.options.encryption_key}
        return {name: value for name, value in parameters.items() if value}

    def _check(self, content: Content) -> dict[str, str]:
        if self._has_checksums:
            return {"ChecksumAlgorithm": self.options.checksum.upper()}
        digest = hashlib.md5(content, usedforsecurity=False).digest()
        return {"ContentMD5": base64.b64encode(digest).decode()}

    def _call(self, name: str, **parameters: Any) -> Answer:
        client = client_of(self.options)
        with translated_store_errors():
            answer: Answer = getattr(client, name)(Bucket=self.name, **parameters)
        return _complete(name, answer)

    def _call_whole(self, name: str, key: str) -> Answer:
        """Call *name*, GET or HEAD of a whole object, once without the client, which repeats what has failed."""
        try:
            with translated_store_errors():
                return _complete(name, direct_to(self.options, self.name).call(name, key))
        except (BackendUnavailableError, StorageError) as error:
            if isinstance(error, OfflineError) or self.options.attempts == 1:
                raise
        rest = replace(self.options, attempts=self.options.attempts - 1)
        return Bucket(self.name, rest)._call(name, Key=key)

    def _publish(self, name: str, **parameters: Any) -> Answer:
        try:
            return self._call(name, **parameters)
        except MissingFileError as error:
            # The object whose entity tag was named has been removed.
            raise StoreConditionError("the file was removed meanwhile") from error


def _complete(name: str, answer: Answer) -> Answer:
    """Return the *answer* to the call *name* if it has all that is needed."""
    if not all(part in answer for part in _ANSWERED.get(name, ())):
        raise BackendUnavailableError("the answer of the storage is incomplete, try again later")
    return answer


def _checksums(answer: Answer) -> dict[str, str]:
    return {f"Checksum{name}": answer[f"Checksum{name}"] for name in CHECKSUMS if answer.get(f"Checksum{name}")}
