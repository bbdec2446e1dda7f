"""What scripts/fresh-machine promises; ``make test-fresh-machine`` runs this, as root and with a network."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "fresh-machine"
PATIENCE = 600  # seconds; packages are downloaded

Look = dict[str, list[str]]

# What to ask there, by the name of the answer.
QUESTIONS = {
    "user": "id -un",
    "directory": "pwd",
    "home": "stat -c %a ~",
    "environment": "env",
    "revision": "git rev-parse HEAD",
    "changes": "git status --porcelain --ignored",
    "packages": "apt-mark showmanual",
    "arguments": 'printf "%s\\n" "$@"',
}


@pytest.fixture(scope="module", params=["root", "ada"])
def look(request: pytest.FixtureRequest) -> Look:
    """The lines of each answer, to root and to an ordinary user; the command then fails with 7."""
    script = "".join(f"echo :{name}; {question}; " for name, question in QUESTIONS.items())
    options = ["--user"] if request.param == "ada" else []
    command = [str(SCRIPT), *options, "sh", "-c", f"{script} exit 7", "sh", "a b", "$HOME"]
    environment = {**os.environ, "CI": "yes", "SECRET": "1"}
    ended = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 7, ended.stderr
    answers = re.split("^:", ended.stdout, flags=re.MULTILINE)[1:]
    return {"asked": [request.param], **{name: lines for name, *lines in (answer.splitlines() for answer in answers)}}


def test_the_command_runs_as_the_user_asked_for(look: Look) -> None:
    assert look["user"] == look["asked"]


def test_it_gets_its_arguments_as_they_are(look: Look) -> None:
    assert look["arguments"] == ["a b", "$HOME"]


def test_it_is_in_a_clean_clone_below_a_home_that_others_may_not_enter(look: Look) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert look["directory"] in (["/root/archiveinterface"], ["/home/ada/archiveinterface"])
    assert look["revision"] == head.stdout.split()
    assert look["changes"] == []
    assert look["home"] == ["700"]


def test_of_the_environment_only_ci_and_the_settings_of_pip_come_along(look: Look) -> None:
    names = {line.split("=")[0] for line in look["environment"]}
    login = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD"}
    assert login | {"CI"} <= names
    assert [name for name in names - login - {"CI"} if not re.match(r"PIP_|\w+_proxy$", name)] == []


def test_of_the_packages_only_those_of_the_readme_are_added(look: Look) -> None:
    (line,) = re.findall("^apt-get install (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    (debian,) = (ROOT / "build").glob("debian-*.tar")
    status = subprocess.run(
        ["tar", "-xOf", debian, "./var/lib/dpkg/status"], capture_output=True, text=True, check=True
    )
    minimal = re.findall("^Package: (.*)$", status.stdout, re.MULTILINE)
    assert sorted(set(look["packages"]) - set(minimal)) == sorted(line.split())


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda stop: stop.name)
def test_nothing_is_left_when_it_is_stopped(stop: signal.Signals) -> None:
    before, mark = images(), f"{os.getpid()}{stop.value}"  # seconds, and a command that no other process runs
    command = f"mount -t tmpfs none /media; setsid sleep {mark} & echo begun; wait"
    with begun([str(SCRIPT), "sh", "-c", command]) as script:
        assert processes(mark)
        assert images() > before
        script.send_signal(stop)
        assert script.wait(PATIENCE) == (-stop if stop == signal.SIGKILL else 128 + stop)
    if stop == signal.SIGKILL:  # the script itself cannot wait
        await_nothing(lambda: processes(mark) or images() - before)
    assert not processes(mark)
    assert images() <= before


@contextmanager
def begun(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run *command*, which says when it has begun, until the block is left."""
    heeding = ["env", "--default-signal=INT", *command]  # pytest may have been started to ignore it
    with subprocess.Popen(heeding, stdout=subprocess.PIPE, text=True) as script:
        try:
            assert script.stdout
            assert script.stdout.readline() == "begun\n"
            yield script
        finally:
            script.kill()


def await_nothing(left: Callable[[], object]) -> None:
    """Wait until nothing is *left*, or long enough."""
    deadline = time.monotonic() + PATIENCE
    while left() and time.monotonic() < deadline:
        time.sleep(0.05)


def processes(mark: str) -> list[str]:
    """Return the processes with *mark* in their command line."""
    return subprocess.run(["pgrep", "-af", f"sleep {mark}"], capture_output=True, text=True).stdout.splitlines()


def images() -> set[str]:
    """Return the images of machines that are mounted, or lie about."""
    mounted = {path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")}
    files = {str(path) for path in (ROOT / "build").glob("fresh-machine.??????")}
    return files | {image for image in mounted if image.startswith(f"{ROOT}/build/")}
