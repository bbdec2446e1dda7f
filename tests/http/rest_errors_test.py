"""What failures leave in the log, and what a body that broke off is still asked for."""

import io
import logging
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive, PosixFile
from pacifica.archiveinterface.exception import BackendUnavailableError, BodyError
from pacifica.archiveinterface.http.request_body import RequestBody
from tests.support.service import serving


class TapeFile(PosixFile):
    """Is on a tape that nobody mounts."""

    def is_online(self) -> bool:
        """Return False."""
        return False

    def stage(self) -> bool:
        """Return False."""
        return False


class TapeArchive(PosixBackendArchive):
    """Keeps every file on tape."""

    file_type = TapeFile


class HangingFile(PosixFile):
    """Is on a storage whose time-outs have no text."""

    def stage(self) -> bool:
        """Raise BackendUnavailableError."""
        raise BackendUnavailableError("the storage does not answer") from TimeoutError()


class HangingArchive(PosixBackendArchive):
    """A storage whose time-outs have no text."""

    file_type = HangingFile


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what has been logged as a warning, or worse."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_asking_for_a_file_that_is_being_staged_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(TapeArchive(str(tmp_path))) as service:
        service.request("PUT", "/7", data=b"x")
        assert [service.request("GET", "/7").status_code for _ in range(3)] == [503] * 3
    assert warnings_of(caplog) == []


def test_a_failure_names_request_and_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(HangingArchive(str(tmp_path))) as service:
        answer = service.request("POST", "/7", headers={"X-Request-Id": "mine"})
    assert answer.status_code == 503
    (line,) = warnings_of(caplog)
    assert "request mine" in line
    assert "TimeoutError" in line


class Stalled(io.BytesIO):
    """A body of which nothing comes."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Raise TimeoutError."""
        self.reads += 1
        raise TimeoutError


@pytest.mark.parametrize("length", ["5", None])
def test_nothing_more_is_read_of_a_body_that_came_too_late(length: str | None) -> None:
    stalled = Stalled()
    framing = {"CONTENT_LENGTH": length} if length else {"HTTP_TRANSFER_ENCODING": "chunked"}
    body = RequestBody({"wsgi.input": stalled, "wsgi.input_terminated": True, "SERVER_PROTOCOL": "HTTP/1.1", **framing})
    with pytest.raises(BodyError):
        body.read_at_most(10)
    assert not body.drain(1000)
    assert stalled.reads == 1
