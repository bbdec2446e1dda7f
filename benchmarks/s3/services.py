"""The services on top of the store: this one, and rclone's WebDAV server as its peer."""

import re
import sys
from functools import partial
from pathlib import Path

from ..running import Contestant
from ..services import LAUNCHER, RCLONE, ROOT, UWSGI
from .bench_store import BUCKET, OTHERS, OURS, BenchStore

PROCESSES = 16  # of uWSGI, as deploy/uwsgi.ini has it
_BIN = Path(sys.executable).parent
_KINDS = frozenset(("GET", "HEAD", "PUT", "large GET", "large PUT"))
_CONFIG = """[log]
access = off
[s3]
endpoint_url = {store.endpoint}
region = us-east-1
addressing_style = path
credentials_file = {store.credentials_file}
"""


def services(store: BenchStore) -> list[Contestant]:
    """Return the services; all of them have the same objects."""
    ours = partial(_environment, store)
    return [
        Contestant(LAUNCHER, _launcher, _KINDS, ours, keeps_files=False),
        Contestant(UWSGI, _uwsgi, _KINDS, ours, keeps_files=False),
        Contestant(
            RCLONE, _rclone, _KINDS, lambda _: rclone_environment(store), conditional_head=True, keeps_files=False
        ),
    ]


def rclone_environment(store: BenchStore) -> dict[str, str]:
    """Return what makes ``store:`` of rclone the store."""
    remote = {
        "TYPE": "s3",
        "PROVIDER": "SeaweedFS",
        "ENDPOINT": store.endpoint,
        "ACCESS_KEY_ID": store.access_key,
        "SECRET_ACCESS_KEY": store.secret_key,
    }
    return {f"RCLONE_CONFIG_STORE_{name}": value for name, value in remote.items()}


def rclone() -> str:
    """Return the path of the program."""
    return str(_BIN / "rclone")


def _environment(store: BenchStore, home: Path) -> dict[str, str]:
    (home / "config.ini").write_text(_CONFIG.format(store=store))
    return {
        "PAI_BACKEND_TYPE": "s3",
        "PAI_PREFIX": f"s3://{BUCKET}/{OURS}",
        "ARCHIVEINTERFACE_CONFIG": str(home / "config.ini"),
        "PYTHONPATH": str(ROOT),
    }


def _launcher(home: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "pacifica.archiveinterface", "-a", "127.0.0.1", "-p", str(port)]


def _uwsgi(home: Path, port: int) -> list[str]:
    text = (ROOT / "deploy/uwsgi.ini").read_text().replace("/run/pacifica-archiveinterface", str(home))
    text = re.sub(r"^(uwsgi|chmod)-socket = .*\n", "", text, flags=re.MULTILINE)  # its path may be too long here
    (home / "uwsgi.ini").write_text(text.replace("127.0.0.1:8080", f"127.0.0.1:{port}"))
    return [str(_BIN / "uwsgi"), "--ini", str(home / "uwsgi.ini")]


def _rclone(home: Path, port: int) -> list[str]:
    return [rclone(), "serve", "webdav", f"store:{BUCKET}/{OTHERS}", "--addr", f"127.0.0.1:{port}"]
