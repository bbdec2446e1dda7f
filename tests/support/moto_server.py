"""A simulator of AWS that others have written: moto, served from this process."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import boto3
import requests
from moto.server import ThreadedMotoServer

_KEYS = "[default]\naws_access_key_id = moto\naws_secret_access_key = moto\n"


class MotoServer:
    """One server on a free port of the loopback address.

    It restores an object in steps: each request for the object is one. It then is not restored, being restored, and
    restored.
    """

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._directory = tempfile.TemporaryDirectory(prefix="moto-")
        self.endpoint = ""

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        steps = {"model_name": "s3::keyrestore", "transition": {"progression": "manual", "times": 1}}
        requests.post(f"{self.endpoint}/moto-api/state-manager/set-transition", json=steps, timeout=60)

    def write_credentials(self) -> Path:
        """Write keys as boto3 reads them, and return the path; moto takes any."""
        path = Path(self._directory.name, "credentials")
        path.write_text(_KEYS)
        return path

    def client(self) -> Any:
        """Return a client of boto3, for what no archive does."""
        keys = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto"}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", **keys)


@functools.cache
def shared_moto() -> MotoServer:
    """Return the server that the tests of this process share; it ends with the process."""
    server = MotoServer()
    server.start()
    return server
