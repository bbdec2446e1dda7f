"""deploy/compose.yaml shows in containers what ``make run-s3-demo`` runs; it is read here, not run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacifica.archiveinterface.config import get_config
from tests.s3_demo.site import CONFIG, S3Site
from tests.support.needs import need
from tests.support.nginx import nginx_command
from tests.support.server_process import free_ports
from tests.support.service import TIMEOUT

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# Options whose values differ from place to place.
PLACES = {"-ip", "-ip.bind", "-port", "-port.grpc", "-master", "-filer", "-config"}
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The commands of the demo, by the names of the services."""
    need("mariadbd", "nginx")
    site = S3Site(tmp_path_factory.mktemp("site") / "site", free_ports(1)[0], processes=1)
    store = site.store
    servers = {"master": store.master, "filer": store.filer, "s3": store.gateway}
    servers |= {f"volume{number}": server for number, server in enumerate(store.volume_servers, 1)}
    servers |= {f"node{number}": server for number, server in enumerate(site.nodes, 1)}
    return {name: server.command for name, server in servers.items()}


def without_places(command: list[str]) -> set[str]:
    """Return what *command* is told, without what differs from place to place."""
    words = (word.split("=")[0] if word.split("=")[0] in PLACES else word for word in command)
    return {Path(word).name if word.startswith("/") else word for word in words}


def test_each_container_runs_a_command_of_the_demo(commands: dict[str, list[str]]) -> None:
    shown = {
        name: without_places([*service.get("entrypoint", ()), *service["command"]])
        for name, service in SERVICES.items()
        if name in commands
    }
    assert shown == {name: without_places(command) for name, command in commands.items()}
    assert SERVICES.keys() - commands.keys() == {"database", "nginx"}


def test_the_nodes_have_the_configuration_of_the_demo(tmp_path: Path) -> None:
    content = COMPOSE["configs"]["config.ini"]["content"]
    path = tmp_path / "config.ini"
    path.write_text(re.sub(r"\$\{\w+:\?\}", "secret", content))
    config = get_config(str(path))
    assert config.recalls.database == "mariadb://pacifica:secret@database:3306/pacifica"
    names = re.compile(r"^\w+(?= =)", re.MULTILINE)
    # The keys are in the environment, and the parts are as usual.
    assert set(names.findall(content)) == set(names.findall(CONFIG)) - {"credentials_file", "part_size"}


def test_every_name_is_declared() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
        assert {config["source"] for config in service.get("configs", ())} <= COMPOSE["configs"].keys()
        places = {place.partition(":")[0] for place in service.get("volumes", ())}
        assert {place for place in places if not place.startswith(".")} <= COMPOSE["volumes"].keys()


def test_the_head_of_the_file_sets_every_variable() -> None:
    (line,) = re.findall("^#   export (.*)$", TEXT, re.MULTILINE)
    assert set(re.findall(r"(\w+)=", line)) == set(re.findall(r"\$\{(\w+):\?\}", TEXT))


def test_nginx_knows_all_nodes(tmp_path: Path) -> None:
    need("nginx")
    script = SERVICES["nginx"]["command"][2].partition(" && ")[0]
    script = script.replace("/etc/pacifica", str(DEPLOY)).replace("/etc/nginx/conf.d", str(tmp_path))
    subprocess.run(["sh", "-c", script], check=True, timeout=TIMEOUT)
    site = tmp_path / "default.conf"
    nodes = re.findall(r"server (\w+):8080;", site.read_text())
    assert list(dict.fromkeys(nodes)) == [name for name in SERVICES if name.startswith("node")]
    site.write_text(
        re.sub(r"server node\w:", "server 127.0.0.1:", site.read_text())
    )  # the names are those of containers
    subprocess.run([*nginx_command(tmp_path, site), "-t"], check=True, timeout=TIMEOUT)


def test_the_image_has_what_its_build_needs(tmp_path: Path) -> None:
    names = re.findall("^!(.*)$", (DEPLOY / "Containerfile.dockerignore").read_text(), re.MULTILINE)
    source = tmp_path / "source"
    source.mkdir()
    for path in (DEPLOY.parent / name for name in names):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, source / path.name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, timeout=TIMEOUT)
    assert list(tmp_path.glob("*.whl"))
    for place in _copied_in_the_image():
        assert (source / place).is_file()


def _copied_in_the_image() -> Iterator[str]:
    for words in re.findall("^COPY (.*) /etc/pacifica/$", CONTAINERFILE, re.MULTILINE):
        yield from words.split()
