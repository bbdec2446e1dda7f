"""The files for containers and for the host around the service are read by the tools that they are for."""

import grp
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import requests
import yaml
from compose_spec import PyCompose

from pacifica.archiveinterface.config import Config, get_config
from tests.support.needs import need
from tests.support.processes import launcher
from tests.support.service import TIMEOUT, free_port
from tests.support.waiting import await_true

DEPLOY = Path(__file__).parents[2] / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
OBJECTS: dict[str, dict[str, Any]] = {
    thing["kind"]: thing for thing in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_hadolint_finds_no_fault_with_the_containerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, DEPLOY / "Containerfile"], capture_output=True, text=True, timeout=TIMEOUT)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_does_not_run_as_root_and_has_what_its_units_have() -> None:
    assert re.findall("^USER (.*)$", CONTAINERFILE, re.MULTILINE) == ["10001:10001"]
    assert re.findall("^STOPSIGNAL (.*)$", CONTAINERFILE, re.MULTILINE) == ["SIGTERM"]
    names = set(re.findall(r"^COPY (.*) /etc/pacifica/$", CONTAINERFILE, re.MULTILINE)[0].split())
    assert all((DEPLOY.parent / name).is_file() for name in names)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of a running service."""
    with launcher(tmp_path_factory.mktemp("archive")) as server:
        yield server.url.removeprefix("http://")


def test_the_health_check_tells_a_service_that_answers_from_one_that_does_not(place: str) -> None:
    (command,) = re.findall(r"^HEALTHCHECK .* CMD (.*)$", CONTAINERFILE, re.MULTILINE)
    python, *arguments = json.loads(command)
    assert python == "python"
    for asked, code in ((place, 0), (f"127.0.0.1:{free_port()}", 1)):
        words = [word.replace("127.0.0.1:8080", asked) for word in arguments]
        checked = subprocess.run([sys.executable, *words], stderr=subprocess.DEVNULL, timeout=TIMEOUT)
        assert checked.returncode == code


def test_compose_reads_its_file() -> None:
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    PyCompose.from_yaml(yaml.safe_dump(content)).validate()  # the parser knows no merged mappings
    nodes = [content["services"][f"node{number}"] for number in (1, 2, 3)]
    assert all(node["read_only"] and node["cap_drop"] == ["ALL"] for node in nodes)


@pytest.mark.parametrize("kind", OBJECTS)
def test_kubernetes_knows_each_object(kind: str) -> None:
    kubernetes_validate.validate(OBJECTS[kind], "1.33", strict=True)


def test_the_objects_of_kubernetes_belong_together(tmp_path: Path) -> None:
    deployment = OBJECTS["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    keys = {entry["valueFrom"]["secretKeyRef"]["key"] for entry in CONTAINER["env"] if "valueFrom" in entry} | {
        item["key"] for volume in POD["volumes"] for item in volume.get("secret", {}).get("items", ())
    }
    assert keys == OBJECTS["Secret"]["stringData"].keys()
    (tmp_path / "config.ini").write_text(OBJECTS["Secret"]["stringData"]["config.ini"])
    assert get_config(str(tmp_path / "config.ini")) != Config()
    (pause,) = (int(word) for word in CONTAINER["lifecycle"]["preStop"]["exec"]["command"] if word.isdecimal())
    assert POD["terminationGracePeriodSeconds"] > pause + Config().http.drain_seconds


@pytest.mark.parametrize("kind", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_the_probes_of_kubernetes_ask_pages_that_there_are(kind: str, place: str) -> None:
    assert requests.get(f"http://{place}{CONTAINER[kind]['httpGet']['path']}", timeout=TIMEOUT).ok


def test_logrotate_has_the_service_open_its_log_anew(tmp_path: Path) -> None:
    need("logrotate")
    prefix, log = tmp_path / "archive", tmp_path / "access.log"
    prefix.mkdir()
    settings, script = tmp_path / "server.conf", tmp_path / "logrotate.conf"
    settings.write_text(f"[global]\nlog.access_file: {str(log)!r}\n")
    with launcher(prefix, "--processes", "1", "--cherrypy-config", str(settings)) as server:
        requests.get(f"{server.url}/1", timeout=TIMEOUT)
        text = (DEPLOY / "logrotate.conf").read_text().replace("/var/log/pacifica-archiveinterface", str(tmp_path))
        text = re.sub("systemctl .*", f"kill -HUP {server.pid}", text)
        script.write_text(
            text.replace(
                "su pacifica pacifica", f"su {pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name}"
            )
        )
        script.chmod(0o644)
        rotate = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(script)]
        subprocess.run(rotate, check=True, timeout=TIMEOUT)
        await_true(lambda: "reloaded:" in server.stderr)
        requests.get(f"{server.url}/2", timeout=TIMEOUT)
        await_true(log.exists)
        await_true(lambda: "GET /2 " in log.read_text())
    assert "GET /1 " in (tmp_path / "access.log.1").read_text()


def test_apparmor_understands_its_profile() -> None:
    need("apparmor_parser")
    command = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", str(DEPLOY / "apparmor")]
    read = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert read.returncode == 0, read.stderr
    assert "\n#   AppArmorProfile=pacifica-archiveinterface\n" in (DEPLOY / "apparmor").read_text()
