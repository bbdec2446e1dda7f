"""A private SeaweedFS cluster: a master, three volume servers, a filer and an S3 gateway, each a process of its own.

Each volume is on two of the volume servers (replication 001), so that one of them may be killed. All listen on free
ports of the loopback address.
"""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import requests

from tests.support.seaweedfs import S3Server, remove_sockets, weed, write_identities
from tests.support.server_process import HOST, ServerProcess, free_ports, wait_until

VOLUME_SERVERS = 3
VOLUMES = 12  # a third of them can be written while one server is away

# 001: two copies, on different servers of a rack.
MASTER_OPTIONS = ["-defaultReplication=001", "-volumeSizeLimitMB=256", "-peers=none", "-telemetry=false", "-mdir=."]
VOLUME_OPTIONS = ["-dir=.", "-max=100"]
FILER_OPTIONS = ["-defaultStoreDir=.", "-localSocket=socket"]
GATEWAY_OPTIONS = ["-port.iceberg=0", "-port.lance=0", "-localSocket=socket"]


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


class SeaweedCluster(S3Server):
    """The cluster, with all data in *directory*; it has volumes for the objects of *bucket* from the beginning."""

    def __init__(self, directory: Path, bucket: str) -> None:
        ports = free_ports(2 * (VOLUME_SERVERS + 3))
        master, filer, gateway, *servers = map(Address, ports[::2], ports[1::2])
        super().__init__(directory, gateway.port)
        self.bucket = bucket
        self._master_url = f"http://{HOST}:{master.port}"
        identities = write_identities(directory / "identities.json", self.access_key, self.secret_key)
        self.master = _process(directory / "master", master, "master", *MASTER_OPTIONS)
        self.volume_servers = [
            _process(directory / f"volume{number}", server, "volume", f"-master={master}", *VOLUME_OPTIONS)
            for number, server in enumerate(servers, 1)
        ]
        self.filer = _process(directory / "filer", filer, "filer", f"-master={master}", *FILER_OPTIONS)
        self.gateway = _process(
            directory / "s3", gateway, "s3", f"-filer={filer}", f"-config={identities}", *GATEWAY_OPTIONS
        )

    @property
    def processes(self) -> list[ServerProcess]:
        """All of them, in the order of their start."""
        return [self.master, *self.volume_servers, self.filer, self.gateway]

    def start(self) -> None:
        """Start all processes and return when the store answers and has volumes."""
        for process in self.processes:
            process.start()
        for is_ready in (self.answers, self._has_volumes):
            wait_until(is_ready, lambda: all(each.is_running for each in self.processes), lambda: self.master.log)

    def stop(self) -> None:
        """End all processes; what they stored is kept."""
        for process in reversed(self.processes):
            process.kill()
            remove_sockets(process.command)

    def _has_volumes(self) -> bool:
        """Have the master make the volumes; it does when it knows all volume servers."""
        with suppress(requests.RequestException):
            centers = requests.get(f"{self._master_url}/dir/status", timeout=5).json()["Topology"]["DataCenters"]
            servers = [server for center in centers or () for rack in center["Racks"] for server in rack["DataNodes"]]
            wanted = {"collection": self.bucket, "replication": "001", "count": str(VOLUMES)}
            if len(servers) == VOLUME_SERVERS:
                return requests.get(f"{self._master_url}/vol/grow", wanted, timeout=30).ok
        return False


def _process(directory: Path, address: Address, command: str, *options: str) -> ServerProcess:
    return ServerProcess(directory, address.port, [weed(), command, *address.options, *options])
