"""``make test-mutation`` finds what it is to mutate and to run; what it takes hours for is left to itself."""

from pathlib import Path

import pytest

from tests.mutation.__main__ import PACKAGE, PASSED_OVER, ROOMS, copy_files

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("room", ROOMS)
def test_the_modules_and_tests_of_a_room_are_there(room: str) -> None:
    modules = [ROOT / PACKAGE / f"{module}.py" for module in ROOMS[room].modules]
    tests = [ROOT / "tests" / f"{name}_test.py" for name in ROOMS[room].tests]
    assert [path for path in [*modules, *tests] if not path.exists()] == []


@pytest.mark.parametrize("test", PASSED_OVER)
def test_a_test_that_is_passed_over_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text()


def test_the_tree_is_copied_with_its_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    copy_files([f"{PACKAGE}/deploy", "deploy/uwsgi.ini"], tmp_path)
    assert (tmp_path / PACKAGE / "deploy" / "uwsgi.ini").read_bytes() == (ROOT / "deploy/uwsgi.ini").read_bytes()
