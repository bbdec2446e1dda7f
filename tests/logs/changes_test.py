"""What is logged of files that are replaced, deleted or moved."""

import logging
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.service import HPSS, POSIX_FLAT, Backend, Service, serving

OLD, NEW = (f"sha-256={sha256(content).hexdigest()}" for content in (b"old", b"new"))


def changes_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of changes."""
    return [record.getMessage() for record in caplog.records if record.module == "changes"]


@pytest.fixture
def service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Service]:
    """A service with nothing stored, whose messages *caplog* has."""
    caplog.set_level(logging.INFO, "pacifica.archiveinterface")
    with serving(POSIX_FLAT.make(tmp_path / "archive")) as started:
        yield started


def test_a_replacement_has_old_and_new_digest_and_the_client(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.request("PUT", "/7", data=b"old")
    assert changes_in(caplog) == []
    service.request("PUT", "/7", data=b"new", headers={"X-Request-Id": "mine"})
    assert changes_in(caplog) == [f"replaced '7': client '127.0.0.1', old digest '{OLD}', new digest '{NEW}'"]
    members = {"change": "replaced", "id": "7", "old_digest": OLD, "new_digest": NEW, "client": "127.0.0.1"}
    assert [vars(record)["members"] for record in caplog.records if "members" in vars(record)] == [members]


def test_a_deletion_has_the_digest(service: Service, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    service.request("PUT", "/7", data=b"old")
    service.request("DELETE", "/7")
    (tmp_path / "archive" / "8").write_bytes(b"from elsewhere")
    service.request("DELETE", "/8")
    service.request("DELETE", "/8")
    assert changes_in(caplog) == [
        f"deleted '7': client '127.0.0.1', old digest '{OLD}'",
        "deleted '8': client '127.0.0.1', old digest 'unknown'",
    ]


def test_a_move_has_the_old_path_and_what_it_replaced(
    service: Service, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    source = tmp_path / "archive" / "incoming"
    for _ in range(2):
        source.write_bytes(b"new")
        service.request("PATCH", "/7", json={"path": str(source)})
    assert changes_in(caplog) == [
        f"moved '7': client '127.0.0.1', from '{source}'",
        f"moved '7': client '127.0.0.1', old digest 'unknown', from '{source}'",
    ]


def test_a_name_cannot_pretend_to_be_more_of_the_line(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    name = "7'%3A old digest 'forged%0Adeleted"
    service.request("PUT", f"/{name}", data=b"old")
    service.request("DELETE", f"/{name}")
    (line,) = changes_in(caplog)
    assert line == rf"""deleted "7': old digest 'forged\ndeleted": client '127.0.0.1', old digest '{OLD}'"""


def test_a_file_that_is_not_changed_has_no_line(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.request("PUT", "/7", data=b"old")
    service.request("PUT", "/7", data=b"new", headers={"If-None-Match": "*"})
    service.request("DELETE", "/7", headers={"If-Match": '"another"'})
    assert changes_in(caplog) == []


@pytest.mark.parametrize("backend", HPSS[-1:], ids=str)
def test_each_storage_says_what_was_replaced(
    backend: Backend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pacifica.archiveinterface")
    with serving(backend.make(tmp_path / "archive")) as service:
        service.request("PUT", "/7", data=b"old")
        service.request("PUT", "/7", data=b"new")
        service.request("DELETE", "/7")
    assert changes_in(caplog) == [
        f"replaced '7': client '127.0.0.1', old digest '{OLD}', new digest '{NEW}'",
        f"deleted '7': client '127.0.0.1', old digest '{NEW}'",
    ]
