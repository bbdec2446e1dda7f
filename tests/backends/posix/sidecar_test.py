"""Where the file system keeps no extended attributes, digests lie in files of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.conformance import ConformanceSuite, MakeArchive
from tests.fixity_test import CONTENT, REPR, flip_a_bit
from tests.support.mounts import require_mounts, run
from tests.support.service import POSIX_TREE, serving


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system without extended attributes, which only root may mount."""
    require_mounts()
    place = tmp_path / "bare"
    place.mkdir()
    run("mount", "-t", "ramfs", "ramfs", str(place))
    try:
        with pytest.raises(OSError, match="not supported"):
            os.setxattr(place, "user.x", b"")
        yield place
    finally:
        run("umount", "--lazy", str(place))


class TestConformance(ConformanceSuite):
    """All promises hold there too."""

    @pytest.fixture
    def make_archive(self, bare: Path) -> MakeArchive:
        """Archives with the options given, on the same files."""
        return lambda archive_options: POSIX_TREE.make(bare / "archive", archive_options)


def sidecars(bare: Path) -> list[Path]:
    """Return the files that digests are kept in."""
    return [path for path in (bare / "archive" / ".notes").rglob("*") if path.is_file()]


def test_a_digest_moves_and_dies_with_its_file(bare: Path) -> None:
    with serving(POSIX_TREE.make(bare / "archive")) as service:
        assert service.request("PUT", "/7", data=CONTENT).headers["Repr-Digest"] == REPR
        assert service.request("HEAD", "/7").headers["Repr-Digest"] == REPR
        path = service.request("HEAD", "/7").headers["X-Pacifica-File"]
        service.request("PATCH", "/80000", json={"path": path})
        assert service.request("HEAD", "/80000").headers["Repr-Digest"] == REPR
        assert len(sidecars(bare)) == 1
        service.request("PUT", "/80000", data=b"other")
        assert len(sidecars(bare)) == 1
        service.request("DELETE", "/80000")
        assert sidecars(bare) == []


def test_a_failed_upload_leaves_no_digest(bare: Path) -> None:
    with serving(POSIX_TREE.make(bare / "archive")) as service:
        service.request("PUT", "/7", data=b"old")
        service.request("PUT", "/7", data=CONTENT, headers={"If-None-Match": "*"})
        service.raw(b"PUT /8 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
        assert len(sidecars(bare)) == 1


def test_a_digest_of_a_file_that_was_changed_behind_our_back_is_not_told(bare: Path) -> None:
    with serving(POSIX_TREE.make(bare / "archive")) as service:
        service.request("PUT", "/7", data=b"bytes")
        place = Path(service.archive.file("7").filepath)
        flip_a_bit(place, 0)
        assert "Repr-Digest" in service.request("HEAD", "/7").headers  # same size, same time: verify would find it
        place.chmod(0o644)
        place.write_bytes(b"longer bytes")
        assert "Repr-Digest" not in service.request("HEAD", "/7").headers
