"""The administrator's tool on S3."""

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pacifica.archiveinterface import digests
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from tests.backends.s3.support import client_of, objects_below, split, write_config
from tests.support.forked import forked_cmd
from tests.support.seaweedfs import SeaweedFS

MIB = 1 << 20  # bytes
SMALL, LARGE = b"one part", os.urandom(6 * MIB)
MOD_TIME = 1473806059.25
MANY = 1010  # more than a page of a listing has

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def archive(make_archive: Callable[..., S3BackendArchive]) -> S3BackendArchive:
    """An archive with a file of one part as 5 and one of two as 12345."""
    archive = make_archive(part_size=5 * MIB)
    for file_id, content in (("5", SMALL), ("12345", LARGE)):
        hasher = digests.Hasher(["sha-256"])
        archive.file(file_id).store(hasher.hashed([content]), MOD_TIME, hasher.digests)
    return archive


@pytest.fixture
def run(store: SeaweedFS, prefix: str, tmp_path: Path) -> Run:
    """Run the tool."""
    return partial(forked_cmd, "-t", "s3", "--prefix", prefix, "-c", str(write_config(tmp_path, store)))


def damage(store: SeaweedFS, path: str) -> None:
    """Change the first byte of an object as nobody should, and keep its metadata."""
    client, place = client_of(store), split(path)
    found = client.get_object(**place)
    content = found["Body"].read()
    client.put_object(**place, Body=bytes([content[0] ^ 1]) + content[1:], Metadata=found["Metadata"])


@pytest.mark.usefixtures("archive")
def test_status_and_list_print_what_is_known(run: Run, prefix: str) -> None:
    status = json.loads(run("status", "--json", "12345").stdout)
    assert (status["size"], status["media"]) == (len(LARGE), "disk")
    listed = {each["id"]: each for each in map(json.loads, run("list", "--json").stdout.splitlines())}
    assert {file_id: (each["path"], each["size"]) for file_id, each in listed.items()} == {
        "5": ("file.5", len(SMALL)),
        "12345": ("39/3039", len(LARGE)),
    }


def test_verify_finds_objects_that_were_overwritten(run: Run, archive: S3BackendArchive, store: SeaweedFS) -> None:
    archive.patch("7", archive.file("5").filepath)
    archive.patch("8", archive.file("12345").filepath)
    for file_id in ("5", "12345"):
        hasher = digests.Hasher(["sha-256"])
        archive.file(file_id).store(hasher.hashed([LARGE]), MOD_TIME, hasher.digests)
    damage(store, archive.file("7").filepath)
    damage(store, archive.file("12345").filepath)
    ended = run("verify")
    assert ended.returncode == 1, ended.stderr
    assert {file_id: archive.file(file_id).status().damaged != "" for file_id in ("5", "7", "8", "12345")} == {
        "5": False,
        "7": True,
        "8": False,
        "12345": True,
    }
    assert {archive.file(file_id).status().mtime for file_id in ("5", "7", "8", "12345")} == {MOD_TIME}
    for file_id in ("5", "7", "8", "12345"):
        archive.file(file_id).remove()
    assert objects_below(store, archive.prefix) == []


def test_an_object_with_another_size_is_damaged(run: Run, archive: S3BackendArchive, store: SeaweedFS) -> None:
    client = client_of(store)
    for file_id, size in (("5", len(SMALL)), ("12345", len(LARGE))):
        place = split(archive.file(file_id).filepath)
        client.put_object(**place, Body=b"short", Metadata=client.head_object(**place)["Metadata"])
        assert archive.file(file_id).status().damaged == f"it has 5 bytes, {size} were stored"
        archive.patch("9", archive.file(file_id).filepath)
        assert archive.file("9").status().damaged
    assert run("verify", "9").returncode == 1


def test_digests_of_an_object_from_elsewhere_are_recorded(
    run: Run, archive: S3BackendArchive, store: SeaweedFS
) -> None:
    client_of(store).put_object(**split(archive.file("6").filepath), Body=SMALL)
    assert archive.file("6").status().digests == {}
    assert run("verify", "--record", "6").returncode == 0
    assert archive.file("6").status().digests == archive.file("5").status().digests
    damage(store, archive.file("6").filepath)
    assert archive.file("6").status().digests == {}  # another object


def test_all_files_are_listed_in_order_over_several_pages(archive: S3BackendArchive, store: SeaweedFS) -> None:
    client, place = client_of(store), split(archive.prefix)

    def put(number: int) -> None:
        client.put_object(Bucket=place["Bucket"], Key=f"{place['Key']}/{archive.path_of(str(number))}", Body=b"x")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(256, 256 + MANY)))
    entries = list(archive.entries())
    paths = [entry.path for entry in entries]
    assert paths == sorted(paths)
    assert len(paths) == MANY + 2
    assert {entry.file_id for entry in entries} == {"5", "12345", *map(str, range(256, 256 + MANY))}
    assert [entry.path for entry in archive.entries(after=paths[1005])] == paths[1006:]
