"""The distribution installs in an empty environment, beside other packages of the pacifica namespace."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEIGHBOUR = "pacifica-uniqueid"  # brings pacifica-namespace, which puts an __init__.py into the namespace
PATIENCE = 600  # seconds for what is downloaded

pytestmark = pytest.mark.network


def run(*command: str | Path, cwd: Path) -> str:
    """Return what *command* prints; it has to succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked: what it lacks, no later test finds."""
    place = tmp_path_factory.mktemp("source")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", place, ROOT, cwd=place)
    (archive,) = place.glob("*.tar.gz")
    shutil.unpack_archive(archive, place)
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def environment(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the service in it, installed from its source, and a neighbour."""
    place = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", place, cwd=place)
    run(place / "bin" / "pip", "install", "-q", source, NEIGHBOUR, cwd=place)
    return place


def test_the_source_holds_what_a_reader_looks_for(source: Path) -> None:
    wanted = ["README.md", "LICENSE", "CHANGELOG.md", "config.ini", "server.conf", "deploy/uwsgi.ini", "docs/index.md"]
    assert [name for name in wanted if not (source / name).is_file()] == []


@pytest.mark.parametrize("module", ["pacifica.archiveinterface.__main__", "pacifica.uniqueid.config"])
def test_neighbours_in_the_namespace_import(environment: Path, module: str) -> None:
    run(environment / "bin" / "python", "-c", f"import {module}", cwd=environment)


@pytest.mark.parametrize("command", ["pacifica-archiveinterface", "pacifica-archiveinterface-cmd"])
def test_the_commands_explain_themselves(environment: Path, command: str) -> None:
    assert "--prefix DIRECTORY" in run(environment / "bin" / command, "--help", cwd=environment)


def test_the_types_come_with_the_package(environment: Path) -> None:
    assert list(environment.glob("lib/*/site-packages/pacifica/archiveinterface/py.typed"))
