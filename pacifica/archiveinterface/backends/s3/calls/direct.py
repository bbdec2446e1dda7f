"""GET and HEAD of whole objects by the signer, the connections and the parsers of botocore alone.

They take half of the CPU time that they take through a client of boto3, which finds the endpoint anew for each call,
checks parameters and emits some twenty events. The client says where the bucket is and how requests are signed, and
makes the calls that are repeated.
"""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.endpoint import Endpoint, EndpointCreator
from botocore.exceptions import ClientError
from botocore.hooks import HierarchicalEmitter
from botocore.httpchecksum import resolve_response_checksum_algorithms

from ..options import S3Options
from .client import client_of, request_to, session_of
from .tracing import tell_trace

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=.+/\d{8}/([^/]+)/s3/aws4_request,")


class _Way(NamedTuple):
    """How the objects of a bucket are reached: *url* and the quoted key are the URL of an object."""

    endpoint: Endpoint
    url: str
    user_agent: bytes


class Direct:
    """Calls to the objects of one *bucket*; shared by all threads of a process."""

    def __init__(self, options: S3Options, bucket: str) -> None:
        """Make the calls as *options* say; nothing is asked yet."""
        self._options, self._bucket = options, bucket
        self._way: _Way | None = None

    def call(self, name: str, key: str) -> Mapping[str, Any]:
        """Return what boto3 answers to ``head_object`` or ``get_object`` of *key*, in one try. Raises its errors."""
        client = client_of(self._options)
        way = self._way = self._way or _find_way(self._options, self._bucket)
        if way is None:
            return dict(getattr(client, name)(Bucket=self._bucket, Key=key))
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[name])
        response, answer = way.endpoint.make_request(model, self._request(way, model, key))
        if response.status_code < 300:
            return dict(answer)
        if response.status_code < 403:
            self._way = None  # the bucket may be in another region, which the client finds out
        raise ClientError(answer, model.name)

    def _request(self, way: _Way, model: Any, key: str) -> dict[str, Any]:
        request: dict[str, Any] = {
            "method": model.http["method"],
            "url": way.url + quote(key, safe="/~"),
            "headers": {"User-Agent": way.user_agent},
            "body": b"",
            "context": {},
        }
        if self._options.checksum_mode == "when_supported" and model.http_checksum:
            request["headers"]["x-amz-checksum-mode"] = "ENABLED"
            resolve_response_checksum_algorithms(request, model, {"ChecksumMode": "ENABLED"})
        return request


def _find_way(options: S3Options, bucket: str) -> _Way | None:
    """Return how boto3 reaches the *bucket*, None if with another signature than that of most stores."""
    shown = request_to(options, bucket)
    scope = _SCOPE.match(_text(shown.headers.get("Authorization", "")))
    if not scope:
        return None
    endpoint = _endpoint(options, shown.url, scope.group(1))
    return _Way(endpoint, f"{shown.url.rstrip('/')}/", shown.headers["User-Agent"])


def _endpoint(options: S3Options, url: str, region: str) -> Endpoint:
    """Return what sends requests to *url*, signed for the *region*, by connections of its own."""
    session = session_of(options)
    credentials = session.get_credentials()

    def sign(request: AWSRequest, **_: object) -> None:
        S3SigV4Auth(credentials.get_frozen_credentials(), "s3", region).add_auth(request)

    events = HierarchicalEmitter()
    events.register("request-created.s3", sign)
    events.register("before-send.s3", tell_trace)
    return EndpointCreator(events).create_endpoint(
        client_of(options).meta.service_model,
        region,
        url,
        verify=session.get_config_variable("ca_bundle"),
        response_parser_factory=session.get_component("response_parser_factory"),
        timeout=(options.connect_timeout, options.read_timeout),
        max_pool_connections=options.pool_size,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def direct_to(options: S3Options, bucket: str) -> Direct:
    """Return this process's calls to the *bucket* in the store that *options* name."""
    return _direct(os.getpid(), options, bucket)


@lru_cache(maxsize=8)
def _direct(process: int, options: S3Options, bucket: str) -> Direct:
    return Direct(options, bucket)
