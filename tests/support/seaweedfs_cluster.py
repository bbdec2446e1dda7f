"""A private SeaweedFS cluster: a master, three volume servers, a filer and an S3 gateway, each a process of its own.

Each volume is on two of the volume servers (replication 001), so that one of them may be killed. All listen on free
ports of the loopback address.
"""

import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import requests

from tests.support.seaweedfs import HOST, S3Server, free_ports, wait_until, weed, write_identities

VOLUME_SERVERS = 3
VOLUMES = 12  # a third of them can be written while one server is away


class Address(NamedTuple):
    """Where a process of the cluster listens, for HTTP and for gRPC."""

    port: int
    grpc_port: int

    def __str__(self) -> str:
        """Return it as SeaweedFS names it."""
        return f"{HOST}:{self.port}.{self.grpc_port}"

    @property
    def options(self) -> list[str]:
        """What makes a process listen there."""
        return [f"-ip={HOST}", f"-ip.bind={HOST}", f"-port={self.port}", f"-port.grpc={self.grpc_port}"]


class ClusterProcess:
    """One process of the cluster: a *command* of ``weed`` with *options*, in *directory*."""

    def __init__(self, directory: Path, address: Address, command: str, *options: str) -> None:
        self.command = [weed(), command, *address.options, *options]
        self._address, self._directory = address, directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)

    def start(self) -> None:
        """Start it and return when it listens."""
        with (self._directory / "log").open("ab") as log:
            self._process = process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._directory
            )
        wait_until(self._listens, lambda: process.poll() is None, self._end_of_log)

    def kill(self) -> None:
        """End it as a crash would; what it stored is kept."""
        if self._process:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self._address.port)) == 0

    def _end_of_log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")[-2000:]


class SeaweedCluster(S3Server):
    """The cluster, with all data in *directory*; it has volumes for the objects of *bucket* from the beginning."""

    def __init__(self, directory: Path, bucket: str) -> None:
        ports = free_ports(2 * (VOLUME_SERVERS + 3))
        master, filer, gateway, *servers = map(Address, ports[::2], ports[1::2])
        super().__init__(directory, gateway.port)
        self.bucket = bucket
        self._master_url = f"http://{HOST}:{master.port}"
        identities = write_identities(directory / "identities.json", self.access_key, self.secret_key)
        self.master = ClusterProcess(directory / "master", master, "master", *MASTER_OPTIONS)
        self.volume_servers = [
            ClusterProcess(directory / f"volume{number}", server, "volume", f"-master={master}", *VOLUME_OPTIONS)
            for number, server in enumerate(servers, 1)
        ]
        self.filer = ClusterProcess(directory / "filer", filer, "filer", f"-master={master}", *FILER_OPTIONS)
        self.gateway = ClusterProcess(
            directory / "s3", gateway, "s3", f"-filer={filer}", f"-config={identities}", *GATEWAY_OPTIONS
        )

    @property
    def processes(self) -> list[ClusterProcess]:
        """All of them, in the order of their start."""
        return [self.master, *self.volume_servers, self.filer, self.gateway]

    def start(self) -> None:
        """Start all processes and return when the store answers and has volumes."""
        for process in self.processes:
            process.start()
        for is_ready in (self.answers, self._has_volumes):
            wait_until(is_ready, lambda: True, lambda: f"see {self.directory}/*/log")

    def stop(self) -> None:
        """End all processes; what they stored is kept."""
        for process in reversed(self.processes):
            process.kill()

    def _has_volumes(self) -> bool:
        """Have the master make the volumes; it does when it knows all volume servers."""
        with suppress(requests.RequestException):
            centers = requests.get(f"{self._master_url}/dir/status", timeout=5).json()["Topology"]["DataCenters"]
            servers = [server for center in centers or () for rack in center["Racks"] for server in rack["DataNodes"]]
            wanted = {"collection": self.bucket, "replication": "001", "count": str(VOLUMES)}
            if len(servers) == VOLUME_SERVERS:
                return requests.get(f"{self._master_url}/vol/grow", wanted, timeout=30).ok
        return False


# 001: two copies, on different servers of a rack.
MASTER_OPTIONS = ["-defaultReplication=001", "-volumeSizeLimitMB=256", "-peers=none", "-telemetry=false", "-mdir=."]
VOLUME_OPTIONS = ["-dir=.", "-max=100"]
FILER_OPTIONS = ["-defaultStoreDir=.", "-localSocket=socket"]
GATEWAY_OPTIONS = ["-port.iceberg=0", "-port.lance=0", "-localSocket=socket"]
