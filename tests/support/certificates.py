"""Certificates for tests of TLS, made by openssl."""

import subprocess
from pathlib import Path

from tests.support.needs import need
from tests.support.service import TIMEOUT

_EC_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


def make_self_signed(path: Path) -> None:
    """Write a new certificate of the loopback address, and its key, to the file *path*."""
    key = path.with_name("key.pem")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    _openssl(*_EC_KEY, *names, "-keyout", str(key), "-out", str(path))
    path.write_text(path.read_text() + key.read_text())


def make_authority(path: Path, name: str) -> None:
    """Make ``name.pem`` and ``name.key`` of an authority in the directory *path*."""
    # From 3.13 on, Python wants it of an authority.
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _openssl(*_EC_KEY, *_files(path, name), "-subj", f"/CN={name}", *usage)


def make_certificate(path: Path, name: str, names: str, authority: str = "ca", subject: str = "") -> None:
    """Make ``name.pem`` and ``name.key``, signed by *authority*, for *names*: ``IP:127.0.0.1,DNS:localhost``."""
    signer = ["-CA", str(path / f"{authority}.pem"), "-CAkey", str(path / f"{authority}.key")]
    # openssl would make it an authority.
    extensions = ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
    _openssl(*_EC_KEY, *_files(path, name), "-subj", subject or f"/CN={name}", *extensions, *signer)


def _files(path: Path, name: str) -> list[str]:
    return ["-keyout", str(path / f"{name}.key"), "-out", str(path / f"{name}.pem")]


def _openssl(*arguments: str) -> None:
    need("openssl")
    subprocess.run(["openssl", "req", "-x509", "-utf8", *arguments], check=True, capture_output=True, timeout=TIMEOUT)
