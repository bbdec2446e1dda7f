"""What the page on backups says of special cases; docs_test types in the page itself."""

import subprocess
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from tests.fixity_test import run_on
from tests.support.needs import need
from tests.support.service import SidecarArchive

MOD_TIME = 1473806059.0


def copy(source: Path, target: Path, *options: str) -> None:
    """Copy an archive as the manual shows."""
    need("rsync")
    subprocess.run(["rsync", "-aX", "--exclude=/.partial", *options, f"{source}/", target], check=True)


def store(archive: PosixBackendArchive, content: bytes) -> None:
    """Store *content* as file 5, with its digest."""
    archive.file("5").store([content], MOD_TIME)
    run_on(archive, "verify", "5", "--record")


def write_manifest(archive: PosixBackendArchive, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Write a manifest of *archive* into the file *place*."""
    capsys.readouterr()
    assert run_on(archive, "export") == 0
    place.write_text(capsys.readouterr().out)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """The directory of an archive."""
    path = tmp_path / "archive"
    path.mkdir()
    return path


def test_a_manifest_gives_back_the_digests_that_belonged_to_inodes(
    prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = SidecarArchive(str(prefix))
    store(archive, b"five")
    write_manifest(archive, tmp_path / "manifest", capsys)
    copy(prefix, tmp_path / "restored")
    restored = SidecarArchive(str(tmp_path / "restored"))
    assert restored.file("5").status().digests == {}
    assert run_on(restored, "import", str(tmp_path / "manifest")) == 0
    assert restored.file("5").status().digests == archive.file("5").status().digests != {}


def test_the_manifest_tells_of_a_file_that_rsync_takes_for_unchanged(
    prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = PosixBackendArchive(str(prefix))
    for content in (b"old", b"new"):
        store(archive, content)
        copy(prefix, tmp_path / "backup")
    write_manifest(archive, tmp_path / "manifest", capsys)
    check = ["sha256sum", "--check", "--quiet", "../manifest"]
    assert subprocess.run(check, cwd=tmp_path / "backup", check=False).returncode == 1
    copy(prefix, tmp_path / "backup", "--checksum")
    assert subprocess.run(check, cwd=tmp_path / "backup", check=False).returncode == 0
