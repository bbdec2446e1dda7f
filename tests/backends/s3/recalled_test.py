"""Files in an archive class through the service: asked for by GET, POST and the tape API, restored, and read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.s3.support import write_config
from tests.support.forked import forked_launcher
from tests.support.glacier_stub import GlacierStub, shared_stub
from tests.support.recalls import TapeClient
from tests.support.service import Client
from tests.support.waiting import await_true

_RECALLS = "poll_seconds = 0.05\nquiet_seconds = 0\n"  # for the last section


@pytest.fixture
def glacier() -> GlacierStub:
    """A store that speaks as AWS does, with no object in an archive class yet."""
    stub = shared_stub()
    stub.reset()
    return stub


@pytest.fixture
def tape(glacier: GlacierStub, prefix: str, tmp_path: Path) -> Iterator[TapeClient]:
    """A service that stores new files in an archive class."""
    config = write_config(tmp_path, glacier, storage_class="DEEP_ARCHIVE", restore_days=3, restore_tier="Bulk")
    config.write_text(config.read_text() + _RECALLS)
    with forked_launcher(prefix, "-t", "s3", "-c", str(config)) as server:
        yield TapeClient(Client(int(server.url.rpartition(":")[2])))


def test_files_are_restored_once_and_stay_as_long_as_they_are_wanted(tape: TapeClient, glacier: GlacierStub) -> None:
    paths, client = ["/5", "/12345"], tape.service
    for path in paths:
        assert client.request("PUT", path, data=b"bytes").status_code == 201
    head = client.request("HEAD", "/5")
    assert (head.headers["X-Pacifica-File-Storage-Media"], head.headers["X-Content-Length"]) == ("tape", "5")
    assert head.headers["X-Pacifica-Bytes-Per-Level"] == "(0, 5)"
    assert tape.archiveinfo(*paths) == [{"path": path, "locality": "TAPE"} for path in paths]

    answer = client.request("GET", "/5")
    assert (answer.status_code, "staged" in answer.json()["message"]) == (503, True)
    assert int(answer.headers["Retry-After"]) > 0
    await_true(lambda: glacier.restores)
    assert client.request("HEAD", "/5").headers["X-Pacifica-Recall"] == "active"
    assert client.request("POST", "/5").status_code == 202

    request = tape.stage(*paths, diskLifetime="P20D")
    await_true(lambda: len(glacier.restores) == 2)
    assert set(tape.states(request).values()) == {"STARTED"}
    assert [restore[1:] for restore in glacier.restores] == [(3, "Bulk")] * 2
    glacier.finish()
    assert {file["state"] for file in tape.ended(request).values()} == {"COMPLETED"}
    assert sorted(restore[1:] for restore in glacier.restores[2:]) == [(20, "Bulk")] * 2
    assert tape.archiveinfo(*paths) == [{"path": path, "locality": "DISK_AND_TAPE"} for path in paths]
    for path in paths:
        assert client.request("GET", path).content == b"bytes"
        assert client.request("POST", path).status_code == 200
    assert client.request("HEAD", "/5").headers["X-Pacifica-File-Storage-Media"] == "disk"
    assert tape.call(f"/release/{request}", paths) == 200


def test_a_restore_that_the_store_refuses_for_now_is_asked_for_again(tape: TapeClient, glacier: GlacierStub) -> None:
    assert tape.service.request("PUT", "/5", data=b"bytes").status_code == 201
    glacier.faults.extend([(405, "MethodNotAllowed")])
    request = tape.stage("/5")
    assert tape.ended(request)["/5"]["error"] == "the storage restores no objects"
    again = tape.stage("/5")
    await_true(lambda: glacier.restores)
    glacier.finish()
    assert tape.ended(again)["/5"]["state"] == "COMPLETED"
