"""Whether the process lives, and whether it can serve."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from docs.examples.memory_backend import MemoryBackendArchive
from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.exception import BackendUnavailableError
from pacifica.archiveinterface.globals import VERSION
from pacifica.archiveinterface.http.options import HttpOptions
from tests.support.audit import audited_service, home_in
from tests.support.mounts import mounted_new, require_mounts
from tests.support.service import Client, serving


class Checked(MemoryBackendArchive):
    """An archive whose storage can be made to fail or to hang."""

    def __init__(self) -> None:
        super().__init__("/memory")
        self.failure = ""
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.begun = 0

    def checks(self) -> Mapping[str, Callable[[], object]]:
        """Return one check."""
        return {"backend": self._ask}

    def _ask(self) -> None:
        self.begun += 1
        self.goes_on.wait()
        if self.failure:
            raise BackendUnavailableError(self.failure)


Serve = Callable[..., Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return what serves an archive."""
    with ExitStack() as stack:

        def start(archive: AbstractBackendArchive, drain_file: str = "") -> Client:
            return stack.enter_context(serving(archive, http=HttpOptions(drain_file=drain_file)))

        yield start


@contextmanager
def hanging(archive: Checked) -> Iterator[None]:
    """Let the storage answer nothing within the block."""
    archive.goes_on.clear()
    try:
        yield
    finally:
        archive.goes_on.set()


def test_a_service_that_can_serve_is_ready(serve: Serve) -> None:
    answer = serve(Checked()).request("GET", "/-/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "checks": {"backend": {"ok": True}, "draining": {"ok": True}}}
    assert answer.headers["Cache-Control"] == "no-store"


def test_what_cannot_be_used_is_named(serve: Serve) -> None:
    archive = Checked()
    service = serve(archive)
    archive.failure = "the storage sleeps"
    answer = service.request("GET", "/-/ready")
    assert answer.status_code == 503
    assert answer.json()["message"] == "backend: the storage sleeps"
    assert answer.json()["checks"]["backend"] == {"ok": False, "message": "the storage sleeps"}
    assert service.request("HEAD", "/-/ready").status_code == 503
    archive.failure = ""
    assert service.request("GET", "/-/ready").status_code == 200


def test_a_storage_that_hangs_holds_up_nothing(serve: Serve) -> None:
    archive = Checked()
    service = serve(archive)
    with hanging(archive):
        for _ in range(3):
            answer = service.request("GET", "/-/ready")
            assert answer.status_code == 503
            assert answer.json()["checks"]["backend"] == {"ok": False, "message": "no answer within 2 seconds"}
        assert archive.begun == 1  # threads that hang do not add up
        assert service.request("GET", "/-/health").json() == {"status": "ok"}
    assert service.request("GET", "/-/ready").status_code == 200


def test_a_file_takes_the_service_out_of_use(serve: Serve, tmp_path: Path) -> None:
    service = serve(Checked(), drain_file=str(tmp_path / "drain"))
    assert service.request("GET", "/-/ready").status_code == 200
    (tmp_path / "drain").touch()
    answer = service.request("GET", "/-/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["draining"]["ok"] is False
    assert service.request("PUT", "/7", data=b"x").status_code == 201
    (tmp_path / "drain").unlink()
    assert service.request("GET", "/-/ready").status_code == 200


def test_a_directory_that_went_or_filled_up_is_told(serve: Serve, tmp_path: Path) -> None:
    prefix = tmp_path / "archive"
    prefix.mkdir()
    service = serve(PosixBackendArchive(str(prefix)))
    full = serve(PosixBackendArchive(str(prefix), ArchiveOptions(reserve_bytes=1 << 60)))
    assert service.request("GET", "/-/ready").status_code == 200
    checks = full.request("GET", "/-/ready").json()["checks"]
    assert (checks["backend"]["ok"], checks["free_space"]["ok"]) == (True, False)
    os.rename(prefix, tmp_path / "elsewhere")
    answer = service.request("GET", "/-/ready")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text
    assert requests.get(f"{service.url}/-/health").status_code == 200


def test_an_audit_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    with audited_service(tmp_path / "archive", home_in(tmp_path)) as service:
        assert service.request("GET", "/-/ready").json()["checks"]["audit"] == {"ok": True}
        (tmp_path / "audit").rename(tmp_path / "elsewhere")
        answer = service.request("GET", "/-/ready")
        assert answer.status_code == 503
        assert answer.json()["message"] == "audit: its directory is not there or cannot be written"


def test_a_full_disk_of_the_audit_log_is_told(tmp_path: Path) -> None:
    require_mounts()
    (tmp_path / "archive").mkdir()
    with (
        mounted_new(tmp_path, "ext4", 8 << 20) as disk,
        audited_service(tmp_path / "archive", home_in(disk)) as service,
    ):
        assert service.request("GET", "/-/ready").status_code == 200
        with pytest.raises(OSError, match="No space left"):
            (disk / "other").write_bytes(bytes(8 << 20))
        assert service.request("GET", "/-/ready").json()["message"] == "audit: no space is left"
        (disk / "other").unlink()
        assert service.request("GET", "/-/ready").status_code == 200


def test_the_version_is_told(serve: Serve) -> None:
    archive = PosixBackendArchive("/tmp")
    assert serve(archive).request("GET", "/-/version").json() == {
        "name": "Pacifica Archive Interface",
        "version": VERSION,
        "backend": "posix",
        "api": "v1",
    }


@pytest.mark.parametrize("page", ["/-/health", "/-/ready", "/-/version"])
def test_pages_are_read_only(serve: Serve, page: str) -> None:
    answer = serve(Checked()).request("PUT", page, data=b"x")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"
