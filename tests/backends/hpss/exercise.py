"""Every function of the extension, called as it should be. Imports little: under valgrind, an import takes seconds."""

import ctypes
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL
READ = os.O_RDONLY | os.O_NONBLOCK


def load(library: Path, extension: Path) -> Any:
    """Return the module *extension*, bound to *library*."""
    # As load_client() does: the library first, which the extension then finds by its name.
    ctypes.CDLL(str(library), mode=os.RTLD_LAZY | os.RTLD_DEEPBIND)
    spec = importlib.util.spec_from_file_location("_hpssExtensions", extension)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def create(client: Any, path: str, content: bytes = b"0123456789") -> None:
    descriptor = client.open(path, CREATE, 0o644)
    assert descriptor.write(content) == len(content)
    descriptor.close()


def read(client: Any, path: str, size: int = 100) -> bytes:
    descriptor, buffer = client.open(path, READ), bytearray(size)
    count = descriptor.readinto(buffer)
    descriptor.close()
    return bytes(buffer[:count])


FAILING: dict[str, Callable[[Any, str], Any]] = {
    "hpss_Open": lambda client, path: client.open(path, READ),
    "hpss_Stat": lambda client, path: client.stat(path),
    "hpss_Lstat": lambda client, path: client.lstat(path),
    "hpss_FileGetXAttributes": lambda client, path: client.residency(path),
    "hpss_Utime": lambda client, path: client.utime(path, 1, 1),
    "hpss_Chmod": lambda client, path: client.chmod(path, 0o444),
    "hpss_Mkdir": lambda client, path: client.mkdir(f"{path}-directory", 0o755),
    "hpss_Unlink": lambda client, path: client.unlink(path),
    "hpss_Rename": lambda client, path: client.rename(path, f"{path}-new"),
    "hpss_Link": lambda client, path: client.link(path, f"{path}-link"),
    "hpss_Opendir": lambda client, path: client.listdir(os.path.dirname(path)),
    "hpss_Readdir": lambda client, path: client.listdir(os.path.dirname(path)),
    "hpss_Closedir": lambda client, path: client.listdir(os.path.dirname(path)),
    "hpss_StageCallBack": lambda client, path: client.stage(path, bytes(16)),
    "hpss_GetAsync*Status": lambda client, path: client.stage_status(bytes(16), client.residency(path)["bitfile"]),
    "hpss_UserAttrSetAttrs": lambda client, path: client.set_user_attributes(path, [("/hpss/a", "1")]),
    "hpss_UserAttrGetAttrs": lambda client, path: client.user_attributes(path, ["/hpss/key"]),
    "hpss_UserAttrDeleteAttrs": lambda client, path: client.delete_user_attributes(path, ["/hpss/key"]),
    "hpss_LookupRootCS": lambda client, _path: client.lookup_root_cs("sim"),
    "hpss_PingCore": lambda client, _path: client.ping_core(client.lookup_root_cs("sim")),
    "hpss_SetConfiguration": lambda client, _path: client.configure(1, 1, 1),
    "hpss_SetLoginCred": lambda client, _path: client.login("hpss", "unix", "keytab", "/none"),
}


def batch_of(client: Any, *paths: str) -> list[tuple[bytes, int, int]]:
    return [(client.residency(path)["bitfile"], 1, 10) for path in paths]


# From 9.3 on.
FAILING_BATCHES: dict[str, Callable[[Any, str], Any]] = {
    "hpss_StageBatchCallBack": lambda client, path: client.stage_batch(bytes(16), batch_of(client, path)),
    "hpss_GetBatchAsynchStatus": lambda client, path: client.batch_status(
        bytes(16), [client.residency(path)["bitfile"]]
    ),
}


def failing_in(client: Any) -> dict[str, Callable[[Any, str], Any]]:
    """Return the calls that the version of *client* has."""
    return {**FAILING, **(FAILING_BATCHES if client.BATCHES else {})}


# May fail after its work: the file is still there, and no descriptor is left that nobody can know.
EARLY = ("hpss_Open", "hpss_Opendir", "hpss_SetLoginCred", "hpss_Unlink", "hpss_Rename")
LATE = [name for name in (*FAILING, *FAILING_BATCHES) if name not in EARLY]
