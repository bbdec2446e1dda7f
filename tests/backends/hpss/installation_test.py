"""Building with and without HPSS, and what is said when something does not fit."""

import os
import subprocess
import sys
import sysconfig
from itertools import chain
from pathlib import Path

import pytest

from pacifica.archiveinterface.config import get_config
from pacifica.archiveinterface.exception import ConfigurationError
from tests.backends.hpss.conftest import Installation
from tests.backends.hpss.forked import run_on
from tests.backends.hpss.support import PROJECT, archive_on, build_extension, prefix_of, write_config
from tests.hpss_simulator import Simulator, build
from tests.support.forked import refusal_of
from tests.support.needs import need


def start(installation: Path, config: Path) -> subprocess.CompletedProcess[str]:
    options = ["-t", "hpss", "--prefix", "/archive", "-p", "0", "-c", str(config)]
    return subprocess.run(
        [sys.executable, "-m", "pacifica.archiveinterface", *options],
        env={**os.environ, "PYTHONPATH": str(installation)},
        cwd=installation,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("flavour", ["9.3"])
def test_without_hpss_the_extension_is_left_out_and_the_command_says_how_to_get_it(
    installation: Installation, simulator: Simulator
) -> None:
    place = installation(None)
    assert not list(place.rglob("_hpssExtensions*"))
    ended = start(place, write_config(simulator))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "HPSS_PREFIX=" in ended.stderr


@pytest.mark.parametrize("flavour", ["9.3"])
def test_with_hpss_the_extension_is_built_in(installation: Installation, flavour: str) -> None:
    assert list(installation(flavour).rglob("_hpssExtensions*.so"))


def test_the_extension_is_built_for_hpss_10(tmp_path: Path) -> None:
    need("cc")
    build("10.3", tmp_path / "hpss")
    header = tmp_path / "hpss" / "include" / "hpss_errno.h"
    header.write_text("#define HPSS_ECONN -50\n")  # a version need not have any other name
    build_extension(tmp_path / "hpss", tmp_path / "built")
    assert list(tmp_path.rglob("_hpssExtensions*.so"))


@pytest.mark.parametrize("flavour", ["9.3"])
@pytest.mark.parametrize("address", ["7777", ":7777", "host", "host:", "host:0", "host:65536", "host:x"])
def test_a_callback_address_is_host_and_port(simulator: Simulator, address: str) -> None:
    with pytest.raises(ConfigurationError, match="callback_address"):
        get_config(str(write_config(simulator, callback_address=address)))


@pytest.mark.parametrize("flavour", ["9.3"])
def test_a_missing_library_is_one_clear_line(simulator: Simulator) -> None:
    config = write_config(simulator, library="/no/such/libhpss.so")
    line = refusal_of(run_on(simulator), "-t", "hpss", "--prefix", "/archive", "-c", str(config))
    assert "[hpss] library = '/no/such/libhpss.so'" in line


@pytest.mark.parametrize("flavour", ["7.4"])
def test_a_library_of_another_version_is_one_clear_line(installation: Installation, simulator: Simulator) -> None:
    ended = start(installation("9.3"), write_config(simulator))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "does not fit" in ended.stderr


@pytest.mark.parametrize("version", ["6.2.0.0", "09.4.1", "10.3"])
def test_a_library_that_says_another_version_is_refused(simulator: Simulator, directory: Path, version: str) -> None:
    simulator.inject(f"hpss_BuildLevelString * text={version}")
    with pytest.raises(ConfigurationError, match=version):
        archive_on(simulator, directory)


def test_loading_leaves_the_process_s_flags_alone(simulator: Simulator, directory: Path) -> None:
    before = sys.getdlopenflags()
    archive_on(simulator, directory)
    assert sys.getdlopenflags() == before


def test_a_prefix_without_hpss_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(tmp_path)]
    environment = {**os.environ, "HPSS_PREFIX": str(tmp_path)}
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert ended.returncode != 0
    assert "hpss_api.h" in ended.stderr


@pytest.mark.parametrize("flavour", ["7.5"])
def test_the_extension_is_built_without_pkg_config_too(flavour: str, simulator: Simulator, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in chain.from_iterable(Path(place).glob("*") for place in os.get_exec_path()):
        if tool.name not in ("pkg-config", "pkgconf") and not (tools / tool.name).is_symlink():
            (tools / tool.name).symlink_to(tool)
    build_extension(prefix_of(flavour), tmp_path / "lib", PATH=str(tools))
    assert list((tmp_path / "lib").rglob("_hpssExtensions*.so"))


def test_the_analyzer_finds_nothing_in_the_extension(flavour: str, simulator: Simulator, tmp_path: Path) -> None:
    source = PROJECT / "pacifica/archiveinterface/backends/hpss/hpssExtensions.c"
    includes = [f"-I{sysconfig.get_path('include')}", f"-I{prefix_of(flavour)}/include"]
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fanalyzer", "-fPIC", "-c"]
    subprocess.run(["gcc", *flags, *includes, str(source), "-o", str(tmp_path / "extension.o")], check=True)
