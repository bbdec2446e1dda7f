"""The layout of an archive in S3: its marker, and the conversion of objects that were stored under plain ids."""

from pathlib import Path
from typing import Any

import pytest
from botocore.httpsession import URLLib3Session

from pacifica.archiveinterface.__main__ import cmd
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from pacifica.archiveinterface.commands.layout import require_layout
from pacifica.archiveinterface.exception import ConfigurationError
from tests.backends.s3.support import client_of, objects_below, split, write_config
from tests.support.crashes import Points, die, runs_to_the_end
from tests.support.seaweedfs import SeaweedFS

TREE = {"5": "file.5", "12345": "39/3039"}
MIB = 1 << 20  # bytes
CONTENTS = {"5": b"five", "12345": bytes(6 * MIB)}


@pytest.fixture
def flat(store: SeaweedFS, prefix: str, archive: S3BackendArchive) -> S3BackendArchive:
    """An archive whose objects another program has stored under their ids."""
    archive.require_usable()
    for file_id, content in CONTENTS.items():
        client_of(store).put_object(**split(f"{prefix}/{file_id}"), Body=content)
    return archive


@pytest.fixture
def command(store: SeaweedFS, prefix: str, tmp_path: Path) -> list[str]:
    """The options of the administrator's tool; the larger object is copied in parts."""
    config = write_config(tmp_path, store, copy_size=5 * MIB, part_size=5 * MIB)
    return ["-t", "s3", "--prefix", prefix, "-c", str(config)]


def test_an_archive_is_marked_once(store: SeaweedFS, prefix: str, archive: S3BackendArchive) -> None:
    archive.require_usable()
    for _ in range(2):
        require_layout(archive)
        assert objects_below(store, prefix) == [".notes/layout"]
    assert list(archive.entries()) == []


def test_objects_under_plain_ids_are_refused_and_converted(
    store: SeaweedFS, prefix: str, flat: S3BackendArchive, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match="convert --to tree"):
        require_layout(flat)
    assert cmd([*command, "convert", "--to", "flat"]) == 2
    assert cmd([*command, "convert", "--to", "tree", "--dry-run"]) == 0
    assert cmd([*command, "convert", "--to", "tree"]) == 0
    assert capfd.readouterr().out == "2 files can be converted\n2 files converted to tree\n"
    require_layout(flat)
    assert [entry.path for entry in flat.entries()] == ["39/3039", "file.5"]
    for file_id, content in CONTENTS.items():
        with flat.open(file_id, "r") as reader:
            assert reader.read(len(content)) == content


def test_an_object_that_is_there_already_is_left(
    store: SeaweedFS, prefix: str, flat: S3BackendArchive, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    client_of(store).put_object(**split(f"{prefix}/39/3039"), Body=b"another")
    for options, said in ((["--dry-run"], "1 files can be converted, 1 not"), ([], "1 files converted to tree, 1 not")):
        assert cmd([*command, "convert", "--to", "tree", *options]) == 1
        assert capfd.readouterr().out.splitlines()[:2] == ["12345: 39/3039 is there already", said]
    assert client_of(store).get_object(**split(f"{prefix}/39/3039"))["Body"].read() == b"another"
    with pytest.raises(ConfigurationError, match="interrupted"):
        require_layout(flat)


@pytest.mark.parametrize("moment", range(3, 22, 3))
def test_a_conversion_that_is_killed_is_completed_by_the_next(
    store: SeaweedFS, prefix: str, flat: S3BackendArchive, command: list[str], moment: int
) -> None:
    convert = [*command, "convert", "--to", "tree"]
    assert not runs_to_the_end(lambda: dying(convert, moment))
    assert cmd(convert) == 0
    paths = [path for path in objects_below(store, prefix) if not path.startswith(".")]
    assert paths == sorted(TREE.values())
    for file_id, content in CONTENTS.items():
        with flat.open(file_id, "r") as reader:
            assert reader.read(len(content)) == content
    require_layout(flat)


def dying(arguments: list[str], last: int) -> None:
    """Run the tool, and die as of SIGKILL when the store has answered the call number *last*."""
    points = Points(last, die)
    send: Any = URLLib3Session.send

    def made(*given: Any) -> Any:
        answer = send(*given)
        points.reach()
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(URLLib3Session, "send", made)
        cmd(arguments)
