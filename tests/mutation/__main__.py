"""Mutate modules of the package, run the tests that are about them, and judge what survived.

``python -m tests.mutation [MODULE ...]``, for example ``http/headers/conditions backends/posix/store``; without a
MODULE, all of ROOMS. mutmut does the work, in a copy of the tree below ``build/mutation``. It leaves
most decorated functions alone, properties and context managers for example: what guards those has to
be tried by hand. It notices only what a test calls in its own process, so tests of a service in
another process tell it nothing. The exit status is 1 when fewer than 90 % of the mutants of a module
were killed, or when one survived that ``survivors.txt`` does not explain; a message in other letters
needs no explanation. A mutant that only a time-out killed may owe that to a busy machine.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PACKAGE = "pacifica/archiveinterface"
REQUIRED = 0.9  # of the mutants of a module
SURVIVORS = Path(__file__).with_name("survivors.txt")
WORK = Path("build/mutation")

_QUOTED = re.compile(r'"([^"]*)"')
_FIELD = re.compile(r"[A-Z]+(-[A-Z]+)+|ETag|Allow|Location|Range|Digest", re.IGNORECASE)

# mutmut switches a change on only when a test runs; what has run by then cannot be judged, and does not count.
IMPORTED = "why: runs when the module is imported, before a change is switched on"

CHOSEN = "posix-tree or not (posix-flat or hpss or hsm or uwsgi)"  # the service on one POSIX archive

# A test that hangs ends its process after so many seconds: the mutant is killed.
HANGS = ("-o", "faulthandler_timeout=30", "-o", "faulthandler_exit_on_timeout=true")

PASSED_OVER = (
    # Of these only what they start does the work.
    "tests/digests_test.py::test_uploads_that_begin_together_in_a_new_process_are_hashed",
    "tests/fixity_test.py::test_a_finding_is_written_before_it_counts_as_reported",
    "tests/fixity_test.py::test_a_reader_of_the_findings_may_leave",
    "tests/fixity_test.py::test_an_interrupted_scrub_goes_on_where_it_was",
    "tests/fixity_test.py::test_any_name_is_printed_on_a_line_of_its_own",
    "tests/fixity_test.py::test_files_removed_while_a_scrub_runs_are_not_missing",
    "tests/http/parsers_test.py::test_no_parser_takes_more_than_linear_time",
    # These start services of an ordinary user, who may not read what a mutated module imports.
    "tests/backends/posix/posix_test.py::test_a_service_need_not_be_able_to_search_the_directories_above",
    "tests/backends/posix/move_test.py::test_a_source_in_a_directory_that_cannot_be_written_to_stays",
    "tests/backends/posix/move_test.py::test_another_user_s_source_in_a_sticky_directory_stays",
)


class Room(NamedTuple):
    """Modules below the package, without .py, and the tests that are about them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "http": Room(
        modules=(
            "digests",
            "http/answers",
            "http/headers/conditions",
            "http/headers/dates",
            "http/headers/digest_fields",
            "http/errors",
            "http/file_answers",
            "http/headers/file_headers",
            "http/headers/ranges",
            "http/request_body",
            "http/headers/request_head",
            "http/response_body",
            "http/sendfile",
            "id2filename",
            "servers/lingering",
            "rest_generator",
        ),
        tests=(
            "archive_utils",
            "audit/requests",
            "auth/requests",
            "digests",
            "fixity",
            "http/answers",
            "http/heads_and_bodies",
            "http/parsers",
            "http/rest_errors",
            "http/rest_get",
            "http/rest_put",
            "http/rest_verbs",
            "limits/gate",
            "pages/access",
            "servers/framing",
            "servers/lingering",
            "servers/users",
            "tape/refusals",
        ),
    ),
    "storage": Room(
        modules=(
            "backends/abstract/archive",
            "backends/abstract/file",
            "backends/abstract/moving",
            "backends/abstract/naming",
            "backends/abstract/notes",
            "backends/abstract/precondition",
            "backends/abstract/replacing",
            "backends/abstract/residency",
            "backends/abstract/status",
            "backends/abstract/undoing",
            "backends/abstract/walking",
            "backends/posix/archive",
            "backends/posix/durability",
            "backends/posix/extendedfile",
            "backends/posix/moving",
            "backends/posix/notes",
            "backends/posix/partial",
            "backends/posix/placing",
            "backends/posix/status",
            "backends/posix/store",
            "backends/posix/sweeping",
            "backends/posix/tree",
        ),
        tests=(
            "backends/abstract/abstract",
            "backends/conformance",
            "backends/posix/move",
            "backends/posix/posix",
            "backends/posix/posix_failures",
            "backends/posix/sidecar",
        ),
    ),
    "fixity": Room(modules=("commands/scrub", "fixity"), tests=("commands/stage", "fixity")),
    "tape": Room(
        modules=("tape/answers", "tape/bodies", "tape/times"),
        tests=("tape/api", "tape/parsing", "tape/refusals", "tape/waiting"),
    ),
    "pages": Room(
        modules=("http/event_stream", "pages/snapshot"),
        tests=("http/event_stream", "pages/recalls", "pages/snapshot"),
    ),
}


class Mutant(NamedTuple):
    """A mutant: mutmut's name of it, and what became of it."""

    name: str
    outcome: str

    @property
    def module(self) -> str:
        """The module below the package, as in MODULES."""
        dotted = self.name.rpartition(".")[0]
        return dotted.removeprefix("pacifica.archiveinterface.").replace(".", "/")

    @property
    def is_killed(self) -> bool:
        """Whether a test failed, hung or crashed because of it."""
        return self.outcome not in ("survived", "no tests")


def main() -> int:
    """Mutate, test and report; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="below the package, without .py")
    wanted = parser.parse_args().modules
    found: dict[Mutant, str] = {}
    for room in ROOMS.values():
        modules = [module for module in room.modules if module in wanted or not wanted]
        if modules:
            make_copy(modules, room.tests)
            # Tests of services wait more than they compute.
            mutmut("run", "--max-children", str(2 * (os.cpu_count() or 1)), quiet=False)
            found |= {mutant: "" if mutant.is_killed else change_of(mutant) for mutant in mutants()}
    return report(found, explained())


def make_copy(modules: Iterable[str], tests: Iterable[str]) -> None:
    """Lay the tracked files, as they are now, below WORK, with the settings that mutate *modules* and run *tests*."""
    shutil.rmtree(WORK, ignore_errors=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], stdout=subprocess.PIPE, check=True, text=True).stdout
    names = [name for name in tracked.split("\0") if name]
    copy_files(names, WORK)
    settings = {
        "source_paths": ["pacifica"],
        "only_mutate": [f"{PACKAGE}/{module}.py" for module in modules],
        "also_copy": sorted({name.split("/")[0] for name in names} - {"pacifica"}),
        "pytest_add_cli_args_test_selection": [f"tests/{name}_test.py" for name in tests],
        "pytest_add_cli_args": ["-k", CHOSEN, *HANGS, *(f"--deselect={test}" for test in PASSED_OVER)],
        "process_isolation": "forkserver",  # else each worker goes on with what earlier tests left in memory
        # A mutant that hangs is given up after its tests' usual time, so many times, and so many seconds.
        "timeout_multiplier": 4.0,
        "timeout_constant": 5.0,
    }
    with (WORK / "pyproject.toml").open("a") as file:
        print("\n[tool.mutmut]", *(f"{name} = {value!r}" for name, value in settings.items()), sep="\n", file=file)


def copy_files(names: Iterable[str], target: Path) -> None:
    """Lay the files and links *names*, as they are below the working directory, below *target*."""
    for name in names:
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, copy, follow_symlinks=False)


def mutmut(*arguments: str, quiet: bool = True) -> str:
    """Run mutmut in the copy and return what it printed when *quiet*."""
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    stdout = subprocess.PIPE if quiet else None
    # The copy is to be imported, not the tree that is installed in the environment.
    environ = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(command, cwd=WORK, stdout=stdout, check=True, text=True, env=environ).stdout or ""


def mutants() -> list[Mutant]:
    """Return every mutant of the last run."""
    lines = mutmut("results", "--all", "true").splitlines()
    return [Mutant(*line.strip().rsplit(": ", 1)) for line in lines if ": " in line]


def change_of(mutant: Mutant) -> str:
    """Return the lines that *mutant* takes away and adds, each behind its sign."""
    lines = mutmut("show", mutant.name).splitlines()
    changed = [line for line in lines if line[:1] in ("-", "+") and line[:3] not in ("---", "+++")]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in changed)


def explained() -> dict[str, str]:
    """Return the changes in ``survivors.txt``, ``MODULE`` and signed lines, each with its reason."""
    reasons = {}
    for block in SURVIVORS.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            reasons["\n".join(line for line in lines if not line.startswith("why: "))] = lines[-1]
    return reasons


def is_wording(change: str) -> bool:
    """Return whether *change* is one of letters' case only, in a message or in the name of a header field.

    No test compares whole messages; the case of a field's name means nothing, and CherryPy writes it as it likes.
    """
    lines = [line[2:] for line in change.splitlines()]
    if len({*map(str.lower, lines)}) != 1:
        return False
    names = {text for line in lines for text in _QUOTED.findall(line)} - set.intersection(
        *(set(_QUOTED.findall(line)) for line in lines)
    )
    return all("Error(" in line or line.startswith("_log.") for line in lines) or all(map(_FIELD.fullmatch, names))


def report(found: dict[Mutant, str], reasons: dict[str, str]) -> int:
    """Print the share of killed mutants of each module and every unexplained survivor; return the exit status.

    *found*: every mutant, and for those that survived the change that they are.
    """
    killed, late, total = Counter[str](), Counter[str](), Counter[str]()
    unexplained = 0
    for mutant, change in found.items():
        reason = reasons.get(f"{mutant.module}\n{change}", "")
        if reason == IMPORTED:
            continue
        total[mutant.module] += 1
        killed[mutant.module] += mutant.is_killed
        late[mutant.module] += mutant.outcome == "timeout"
        if not (mutant.is_killed or is_wording(change) or reason):
            unexplained += 1
            print(f"\n{mutant.module}\n{change}\n({mutant.outcome}: {mutant.name})")
    for module in sorted(total):
        share = f"{killed[module] / total[module]:.0%}, {late[module]} by time-out"
        print(f"{module}: {killed[module]} of {total[module]} killed, {share}")
    weak = [module for module in total if killed[module] < REQUIRED * total[module]]
    print(f"survivors without an explanation: {unexplained}; modules below {REQUIRED:.0%}: {', '.join(weak) or 'none'}")
    return 1 if unexplained or weak else 0


if __name__ == "__main__":
    sys.exit(main())
