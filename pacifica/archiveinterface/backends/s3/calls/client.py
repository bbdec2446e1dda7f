"""The client of boto3: one for each process."""

import os
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HAS_CRT
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import create_loader
from botocore.utils import parse_timestamp

from ....exception import ConfigurationError
from ..options import S3Options
from .tracing import tell_trace

# What it has read of the descriptions of AWS is shared by the processes that fork: 12 MiB for each.
_descriptions = create_loader()
_NEEDS_CRT = ("crc32c", "crc64nvme")


def require_client(options: S3Options) -> None:
    """Raise ConfigurationError unless *options* are such that a store can be asked. None is asked."""
    if options.checksum in _NEEDS_CRT and options.checksum_mode == "when_supported" and not HAS_CRT:
        raise ConfigurationError(
            f"[s3] checksum = {options.checksum} needs the package awscrt: pip install 'boto3[crt]'"
        )
    if options.credentials_file and not os.access(options.credentials_file, os.R_OK):
        raise ConfigurationError(f"[s3] credentials_file {options.credentials_file} cannot be read")
    try:
        client_of(options)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"[s3] {' '.join(str(error).split())}") from error


def client_of(options: S3Options) -> Any:
    """Return this process's client for the store that *options* name; all its threads share it."""
    return _connected(os.getpid(), options).client


def session_of(options: S3Options) -> botocore.session.Session:
    """Return the session of `client_of`, which has its credentials."""
    return _connected(os.getpid(), options).session


def request_to(options: S3Options, bucket: str) -> AWSPreparedRequest:
    """Return the signed request with which the client asks for the *bucket*. It is not sent."""
    try:
        client_of(options).head_bucket(Bucket=bucket)
    except _ShownError as shown:
        return shown.request
    raise AssertionError


class _ShownError(Exception):
    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def _show(request: AWSPreparedRequest, **_: object) -> None:
    raise _ShownError(request)


class _Connected(NamedTuple):
    """A client, and its session, which no other client may have: boto3 changes it for each client."""

    session: botocore.session.Session
    client: Any


@lru_cache(maxsize=8)
def _connected(process: int, options: S3Options) -> _Connected:
    # One for each process: a fork would share its connections.
    session = _session(options)
    client = boto3.session.Session(botocore_session=session, region_name=options.region or None).client(
        "s3", endpoint_url=options.endpoint_url or None, config=_config(options)
    )
    client.meta.events.register("before-send.s3.HeadBucket", _show)
    client.meta.events.register("before-send.s3", tell_trace)
    return _Connected(session, client)


def _session(options: S3Options) -> botocore.session.Session:
    session = botocore.session.Session(profile=options.profile or None)
    session.register_component("data_loader", _descriptions)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time_of)
    if options.credentials_file:
        session.set_config_variable("credentials_file", options.credentials_file)
    return session


def _config(options: S3Options) -> Config:
    return Config(
        signature_version="s3v4",  # what is left to boto3 is an older one for presigned URLs in us-east-1
        connect_timeout=options.connect_timeout,
        read_timeout=options.read_timeout,
        retries={"mode": "standard", "total_max_attempts": options.attempts},
        max_pool_connections=options.pool_size,
        # The checksums of the parts protect them; without this, each part is hashed twice over plain HTTP.
        s3={"addressing_style": options.addressing_style, "payload_signing_enabled": False},
        request_checksum_calculation=options.checksum_mode,
        response_checksum_validation=options.checksum_mode,
    )


def _time_of(value: Any) -> datetime:
    """Return the time that a header or a document says. boto3's own way takes an eighth of a small GET."""
    with suppress(TypeError, ValueError):
        return parsedate_to_datetime(value)
    parsed: datetime = parse_timestamp(value)
    return parsed
