"""What the launcher says and checks when it starts."""

import re
import subprocess
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest
import requests

from tests.support.forked import forked_launcher, refusal_of_main
from tests.support.needs import need
from tests.support.processes import LAUNCHER


def test_one_line_tells_how_files_are_kept(prefix: Path, written: Callable[[str], str]) -> None:
    config = written("[archive]\ndurability = file\ndigests = md5 sha-256\noverwrite = refuse\ndelete = refuse\n")
    with forked_launcher(prefix, "-c", config) as server:
        [line] = [line for line in server.stderr.splitlines() if "serves" in line]
        said = "backend posix, layout flat, durability file, digests md5 sha-256, overwrite refuse, delete refuse"
        assert line.endswith(f"serves {prefix} on {server.url}: {said}, no TLS, users none")
        assert "WARNING" not in server.stderr


def test_a_read_only_archive_says_so_and_is_left_alone(prefix: Path, written: Callable[[str], str]) -> None:
    (prefix / ".partial").mkdir()
    (prefix / ".partial" / "left").write_bytes(b"x")
    with forked_launcher(prefix, "-c", written("[archive]\nread_only = true\n")) as server:
        assert ", read-only, no TLS" in server.stderr
        assert requests.put(f"{server.url}/7", data=b"x").status_code == 403
    assert (prefix / ".partial" / "left").exists()


@pytest.mark.parametrize("arguments", [(), ("--processes", "2")])
def test_a_place_that_others_reach_is_a_warning(prefix: Path, arguments: tuple[str, ...]) -> None:
    need("unshare")
    # In a network of its own, which nobody reaches.
    command = ["unshare", "--map-root-user", "--net", LAUNCHER, "--prefix", str(prefix), "-p", "0", "-a", "0.0.0.0"]
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        lines = list(takewhile(lambda line: "serves" not in line, process.stderr))
        process.terminate()
    assert len(lines) == 1
    assert re.search(r"WARNING whoever reaches 0\.0\.0\.0:\d+ may read, replace and delete files", lines[0])


def test_users_without_permissions_are_told(prefix: Path, written: Callable[[str], str]) -> None:
    config = written("[auth]\nenabled = true\n")
    assert "[auth] permissions_file: " in refusal_of_main("--prefix", str(prefix), "-c", config)
    assert "[auth] permissions_file: " in refusal_of_main("--prefix", str(prefix), "-c", config, "--check")


def test_a_directory_that_cannot_be_written_is_told() -> None:
    assert "prefix '/proc/sys' cannot be written: " in refusal_of_main("--prefix", "/proc/sys")


def test_directories_to_move_from_that_are_not_there_are_told(prefix: Path, written: Callable[[str], str]) -> None:
    said = refusal_of_main("--prefix", str(prefix), "-c", written("[archive]\nmove_roots = /tmp:/nope\n"))
    assert "[archive] move_roots: '/nope' is not a directory" in said
