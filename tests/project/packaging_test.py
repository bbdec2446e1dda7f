"""The distribution installs in an empty environment, beside other packages of the pacifica namespace."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.service import await_service, free_port

ROOT = Path(__file__).parents[2]
NEIGHBOUR = "pacifica-uniqueid"  # brings pacifica-namespace, which puts an __init__.py into the namespace
PATIENCE = 600  # seconds for what is downloaded
NOT_OF_SOURCE = ("build", "dist", "archive", "_build", "hsm-demo")  # what make and the demonstrations leave behind

pytestmark = pytest.mark.network


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Return what *command* prints; it has to succeed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip_at_hand(environment: Path) -> dict[str, str]:
    """Return variables with which the pip of the tests installs into *environment*, and compiles no module.

    A pip of its own, compiled, would be half of the work.
    """
    path = f"{environment}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "PIP_PYTHON": f"{environment}/bin/python", "PIP_NO_COMPILE": "1"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked: what it lacks, no later test finds.

    It is made from a copy, because setuptools writes beside the files that it packs, and other tests build, too.
    """
    place = tmp_path_factory.mktemp("source")
    tree = place / "tree"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", *NOT_OF_SOURCE)
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", place, tree, cwd=place)
    (archive,) = place.glob("*.tar.gz")
    shutil.unpack_archive(archive, place)
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def readme(source: Path) -> list[str]:
    """The commands of the README's section Deploy: those that install, and those that start the service."""
    section = (source / "README.md").read_text().partition("\n## Deploy\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def lowest(source: Path) -> dict[str, str]:
    """The lowest version stated of each distribution that this one requires."""
    return dict(lowest_versions((source / "PKG-INFO").read_text()))


@pytest.fixture(scope="module")
def environment(source: Path, readme: list[str], lowest: dict[str, str]) -> Path:
    """The virtual environment that the README has users make, with the lowest versions, and a neighbour in it.

    All other tests run with the newest.
    """
    environment, limits = source / "build" / "deploy", source.parent / "limits"
    limits.write_text("".join(f"{name}=={version}\n" for name, version in lowest.items()))
    typed = readme[0].replace("-m venv", "-m venv --without-pip")
    variables = {**pip_at_hand(environment), "PIP_CONSTRAINT": str(limits)}
    run("bash", "-ec", f"{typed}pip install -q {NEIGHBOUR}", cwd=source, **variables)
    return environment


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


def test_setup_finds_its_files_in_the_package(environment: Path, tmp_path: Path) -> None:
    run(environment / "bin" / "pacifica-archiveinterface-cmd", "setup", "--output", tmp_path, cwd=environment)
    unit = (tmp_path / "pacifica-archiveinterface.service").read_text()
    assert f"ExecStart={environment}/bin/pacifica-archiveinterface " in unit


def lowest_versions(metadata: str) -> Iterator[tuple[str, str]]:
    """Yield what the distribution requires on this Python, and the lowest version that it states."""
    for text in re.findall("^Requires-Dist: (.*)$", metadata, re.MULTILINE):
        requirement = Requirement(text)
        if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
            (lowest,) = [limit.version for limit in requirement.specifier if limit.operator == ">="]
            yield requirement.name, lowest


def test_the_lowest_versions_stated_suffice(environment: Path, lowest: dict[str, str], tmp_path: Path) -> None:
    assert len(lowest) >= 5
    program = "import json, sys, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    installed = run(environment / "bin" / "python", "-c", program, *lowest, cwd=tmp_path)
    assert {name: Version(version) for name, version in json.loads(installed).items()} == {
        name: Version(version) for name, version in lowest.items()
    }
    (tmp_path / "archive").mkdir()
    port = free_port()
    launcher = str(environment / "bin" / "pacifica-archiveinterface")
    command = [launcher, "-p", str(port), "--prefix", str(tmp_path / "archive")]
    with subprocess.Popen(command) as service:
        try:
            await_service(service, f"http://127.0.0.1:{port}")
            suite = ROOT / "post_deployment_tests" / "deployment_test.py"
            small = {"LARGE_FILE_SIZE": "5000000", "MANY_FILES_TEST_COUNT": "40", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            variables = {**os.environ, **small, "ARCHIVE_URL": f"http://127.0.0.1:{port}"}
            subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", suite],
                cwd=tmp_path,
                env=variables,
                check=True,
                timeout=PATIENCE,
            )
        finally:
            service.terminate()


def test_the_deploy_commands_of_the_readme_work_as_typed(
    source: Path, environment: Path, readme: list[str], tmp_path: Path
) -> None:
    assert all((environment / "bin" / name).exists() for name in ("pacifica-archiveinterface", "uwsgi"))
    assert len(readme) == 3
    for typed in readme[1:]:
        port = free_port()
        typed = re.sub(r"(?<=[= ])/path\b", str(tmp_path), typed.replace("8080", str(port)))
        with subprocess.Popen(
            ["bash", "-c", f". build/deploy/bin/activate\n{typed}"], cwd=source, start_new_session=True
        ) as shell:
            try:
                await_service(shell, f"http://127.0.0.1:{port}/")
            finally:
                os.killpg(shell.pid, signal.SIGKILL)


def test_the_advice_to_build_with_hpss_builds_this_source(source: Path, environment: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.ini"
    config.write_text("[hpss]\nlibrary = libc.so.6\n")
    launcher = environment / "bin" / "pacifica-archiveinterface"
    refused = subprocess.run([launcher, "-t", "hpss", "-c", config], capture_output=True, text=True, timeout=PATIENCE)
    assert refused.returncode == 2
    advised = refused.stderr.strip().rpartition("run: ")[2].replace("/opt/hpss", "/nonexistent/hpss")
    command = f". {environment}/bin/activate\n{advised}"
    variables = {**os.environ, **pip_at_hand(environment)}
    tried = subprocess.run(
        ["bash", "-c", command], cwd=source, env=variables, capture_output=True, text=True, timeout=PATIENCE
    )
    assert "HPSS_PREFIX=/nonexistent/hpss: there is no include/hpss_api.h below it" in tried.stdout + tried.stderr
