"""Certificates for tests of TLS."""

import subprocess
from pathlib import Path

from tests.support.needs import need
from tests.support.service import TIMEOUT


def make_certificate(path: Path) -> None:
    """Write a new certificate of the loopback address, and its key, to the file *path*."""
    need("openssl")
    key = path.with_name("key.pem")
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=localhost", "-days", "2"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
    path.write_text(path.read_text() + key.read_text())
