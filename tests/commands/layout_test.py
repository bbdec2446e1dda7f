"""The marker of an archive's layout, and the commands that compare and convert it."""

import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.archiveinterface.__main__ import cmd
from pacifica.archiveinterface.commands.startup import choose
from pacifica.archiveinterface.exception import ConfigurationError
from tests.support.crashes import Points, die, ends_well, runs_to_the_end, started
from tests.support.forked import forked_launcher, refusal_of_main

# The file 39 of the flat layout has the name of the directory of 12345 in a tree.
TREE = {"5": "file.5", "39": "file.27", "256": "00/100", "12345": "39/3039", "70000": "70/11/11170"}
FLAT = {name: f"content of {name}".encode() for name in TREE}
NAMES = {"flat": {name: name for name in FLAT}, "tree": TREE}
DIGEST = "user.pacifica.digest.sha-256"
OTHER = {"flat": "tree", "tree": "flat"}
LAYOUTS = pytest.mark.parametrize("layout", OTHER)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """The directory of the archive."""
    path = tmp_path / "archive"
    path.mkdir()
    return path


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    """Return what returns the path of a config.ini for a layout."""

    def write(layout: str) -> str:
        path = tmp_path / f"{layout}.ini"
        path.write_text(f"[posix]\nuse_id2filename = {layout == 'tree'}\n[archive]\ndurability = none\n")
        return str(path)

    return write


def fill(prefix: Path, layout: str) -> None:
    for file_id, path in NAMES[layout].items():
        place = prefix / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(FLAT[file_id])
        os.setxattr(place, DIGEST, sha256(FLAT[file_id]).digest())
        os.utime(place, (1, 1473806059))
        place.chmod(0o444)


def files_in(prefix: Path) -> dict[str, bytes]:
    """Return the content of each file of the archive by its path, once its notes and times were found to be right."""
    found = {}
    for path in filter(Path.is_file, prefix.rglob("*")):
        found[str(path.relative_to(prefix))] = content = path.read_bytes()
        assert os.getxattr(path, DIGEST) == sha256(content).digest()
        assert (path.stat().st_mtime, path.stat().st_mode & 0o777) == (1473806059, 0o444)
    return found


def expected(layout: str) -> dict[str, bytes]:
    return {path: FLAT[file_id] for file_id, path in NAMES[layout].items()}


def marker(prefix: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(prefix / ".layout")
    return []


@LAYOUTS
def test_a_first_start_marks_an_empty_archive_and_the_other_layout_is_refused_then(
    prefix: Path, config: Callable[[str], str], layout: str
) -> None:
    with forked_launcher(prefix, "-c", config(layout)) as server:
        assert marker(prefix) == [layout]
        assert requests.get(f"{server.url}/.layout").status_code in (400, 404)
        assert requests.patch(f"{server.url}/7", json={"path": f"{prefix}/.layout/{layout}"}).status_code == 403
    said = refusal_of_main("-p", "0", "--prefix", str(prefix), "-c", config(OTHER[layout]))
    assert f"the archive has the layout {layout}, and the options say {OTHER[layout]}" in said
    assert "change [posix] use_id2filename, or convert the archive with pacifica-archiveinterface-cmd convert" in said


@LAYOUTS
def test_files_without_a_marker_tell_the_layout(prefix: Path, config: Callable[[str], str], layout: str) -> None:
    fill(prefix, layout)
    with pytest.raises(ConfigurationError, match=f"is a file in the layout {layout}, and the options say"):
        choose("posix", str(prefix), config(OTHER[layout])).site().require_layout()
    assert marker(prefix) == []
    choose("posix", str(prefix), config(layout)).site().require_layout()
    assert marker(prefix) == [layout]


@pytest.mark.parametrize(
    ("paths", "refused"),
    [
        (["12345", "39/3039"], ["flat", "tree"]),
        (["README", "39/3039"], ["flat"]),
        (["README"], []),
        ([".bashrc", "directory/7", "lost+found/x"], []),
        (["file.5"], ["flat"]),
        (["007"], []),
    ],
)
def test_a_sample_of_the_files_decides(
    prefix: Path, config: Callable[[str], str], paths: list[str], refused: list[str]
) -> None:
    for path in paths:
        (prefix / path).parent.mkdir(exist_ok=True)
        (prefix / path).touch()
    for layout in OTHER:
        site = choose("posix", str(prefix), config(layout)).site()
        if layout in refused:
            with pytest.raises(ConfigurationError, match="is a file in the layout"):
                site.require_layout()
        else:
            site.require_layout()
            (prefix / ".layout" / layout).rmdir()


def test_a_read_only_archive_is_compared_and_gets_no_marker(prefix: Path, written: Callable[[str], str]) -> None:
    fill(prefix, "tree")
    read_only = "[archive]\nread_only = true\n"
    choose("posix", str(prefix), written(f"{read_only}[posix]\nuse_id2filename = true\n")).site().require_layout()
    with pytest.raises(ConfigurationError, match="layout tree"):
        choose("posix", str(prefix), written(read_only)).site().require_layout()
    assert set(os.listdir(prefix)) == {path.split("/")[0] for path in NAMES["tree"].values()}


def test_nodes_that_start_at_once_on_an_empty_archive_agree(prefix: Path, config: Callable[[str], str]) -> None:
    sites = {layout: choose("posix", str(prefix), config(layout)).site() for layout in OTHER}

    def start(layout: str) -> None:
        try:
            sites[layout].require_layout()
        except ConfigurationError:
            die(None)

    for _ in range(10):
        nodes = {started(partial(start, layout)): layout for layout in [*OTHER, *OTHER]}
        served = {layout for node, layout in nodes.items() if ends_well(node)}
        assert len(served) <= 1
        for name in marker(prefix):
            (prefix / ".layout" / name).rmdir()


@LAYOUTS
def test_a_conversion_brings_every_file_to_its_new_path(
    prefix: Path, config: Callable[[str], str], layout: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(prefix, layout)
    convert = ["--prefix", str(prefix), "convert", "--to", OTHER[layout]]
    assert cmd([*convert, "--dry-run"]) == 0
    assert files_in(prefix) == expected(layout)
    assert marker(prefix) == []
    assert cmd(convert) == 0
    said = capfd.readouterr().out
    assert said == f"{len(FLAT)} files can be converted\n{len(FLAT)} files converted to {OTHER[layout]}\n"
    assert files_in(prefix) == expected(OTHER[layout])
    if layout == "tree":
        assert not [path for path in prefix.iterdir() if path.is_dir() and not path.name.startswith(".")]
    with forked_launcher(prefix, "-c", config(OTHER[layout])) as server:
        for file_id, content in FLAT.items():
            assert requests.head(f"{server.url}/{file_id}").headers["X-Content-Length"] == str(len(content))


@LAYOUTS
def test_a_conversion_that_is_killed_anywhere_is_completed_by_the_next(
    prefix: Path, tmp_path: Path, config: Callable[[str], str], layout: str, capfd: pytest.CaptureFixture[str]
) -> None:
    convert = ["convert", "--to", OTHER[layout], "--prefix"]
    for last in itertools.count(1):
        archive = tmp_path / str(last)
        archive.mkdir()
        fill(archive, layout)
        if runs_to_the_end(partial(_dying, [*convert, str(archive)], last)):
            break
        assert sorted(files_in(archive).values()) == sorted(FLAT.values())
        # Unless it was killed before it began or after its end, no service starts, and it cannot be reversed.
        if "-to-" in "".join(marker(archive)):
            for each in OTHER:
                with pytest.raises(ConfigurationError, match=f"run .* convert --to {OTHER[layout]} again"):
                    choose("posix", str(archive), config(each)).site().require_layout()
            assert cmd(["convert", "--to", layout, "--prefix", str(archive)]) == 2
        assert cmd([*convert, str(archive)]) == 0
        assert files_in(archive) == expected(OTHER[layout])
        assert marker(archive) == [OTHER[layout]]
    assert last > len(FLAT)


def _dying(arguments: list[str], last: int) -> None:
    """Run the tool, and die as of SIGKILL before the call number *last* that changes names or whose they are."""
    points = Points(last, die)

    def before(call: Any) -> Any:
        def made(*given: Any, **named: Any) -> Any:
            points.reach()
            return call(*given, **named)

        return made

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "mkdir", "rmdir", "fchown"):
            patch.setattr(os, name, before(getattr(os, name)))
        assert cmd(arguments) == 0


def test_files_that_are_in_both_layouts_are_named_and_left(prefix: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fill(prefix, "flat")
    (prefix / "70" / "11").mkdir(parents=True)
    (prefix / "70" / "11" / "11170").write_bytes(b"another")
    (prefix / "README").touch()
    convert = ["--prefix", str(prefix), "convert", "--to", "tree"]
    problems = [
        "70000: 70/11/11170 is there already",
        "README: this name is not a number, which the tree needs: rename or remove it",
    ]
    assert cmd([*convert, "--dry-run"]) == 1
    assert capfd.readouterr().out.splitlines() == [*problems, "4 files can be converted, 2 not"]
    assert cmd(convert) == 1
    assert capfd.readouterr().out.splitlines()[:3] == [*problems, "4 files converted to tree, 2 not"]
    assert (prefix / "70000").read_bytes() == FLAT["70000"]
    assert (prefix / "70" / "11" / "11170").read_bytes() == b"another"
    assert marker(prefix) == ["flat-to-tree"]
    (prefix / "70" / "11" / "11170").unlink()
    (prefix / "README").unlink()
    assert cmd(convert) == 0
    assert files_in(prefix) == expected("tree")


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
def test_no_archive_is_converted_while_a_service_uses_it(
    prefix: Path, processes: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    convert = ["--prefix", str(prefix), "convert", "--to", "tree"]
    with forked_launcher(prefix, *processes) as server:
        requests.put(f"{server.url}/12345", data=b"x")
        assert cmd(convert) == 2
        assert "a service or another conversion is using the archive: stop it first" in capfd.readouterr().err
        assert cmd([*convert, "--dry-run"]) == 0
        assert marker(prefix) == ["flat"]
    assert cmd(convert) == 0
    assert (prefix / "39" / "3039").read_bytes() == b"x"


def test_a_read_only_archive_is_not_converted(
    prefix: Path, written: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    fill(prefix, "flat")
    assert (
        cmd(["--prefix", str(prefix), "-c", written("[archive]\nread_only = true\n"), "convert", "--to", "tree"]) == 2
    )
    assert "read_only" in capfd.readouterr().err
    assert files_in(prefix) == expected("flat")


def test_the_files_of_each_layout_are_counted(
    prefix: Path, config: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    fill(prefix, "tree")
    (prefix / "directory").mkdir()
    (prefix / "directory" / "x").touch()
    for layout, code in (("tree", 0), ("flat", 1)):
        assert cmd(["--prefix", str(prefix), "-c", config(layout), "check-layout"]) == code
        said = [f"layout of the options: {layout}", "marker: none", "flat: 0 files", "tree: 5 files"]
        assert capfd.readouterr().out.splitlines() == [*said, "flat, not a number: 0 files", "neither: 1 files"]
