"""What the options and the file of principals say, and what is refused when the service starts."""

from pathlib import Path

import pytest

from pacifica.archiveinterface.config import get_config
from pacifica.archiveinterface.exception import ConfigurationError
from pacifica.archiveinterface.limits.allowances import Allowance, amount, read_allowances

BAD_LISTS = [
    "bytes",
    "bytes many",
    "bytes -1",
    "bytes 1X",
    "bytes 1, bytes 2",
    "apples 3",
    "requests 0",
    "requests nan",
    "requests inf",
    "requests 5/m",
    "transfers 0",
    "transfers 1.5",
    "burst 5",
    "requests 5, burst 0",
]


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("17", 17), ("1K", 1000), ("1Ki", 1024), ("10T", 10**13), ("1.5 G", 1_500_000_000), ("2Pi", 2 << 50)],
)
def test_amounts_have_units(text: str, number: int) -> None:
    assert amount(text) == number


def limits(tmp_path: Path, text: str) -> object:
    """Return the options of [limits] that *text* sets."""
    (tmp_path / "config.ini").write_text(f"[limits]\n{text}\n")
    return get_config(str(tmp_path / "config.ini")).limits


@pytest.mark.parametrize("text", BAD_LISTS)
def test_a_list_with_a_mistake_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[limits\] principal = .* is not a list"):
        limits(tmp_path, f"principal = {text}")


def test_the_file_overrides_what_others_may_use(tmp_path: Path) -> None:
    place = tmp_path / "principals"
    place.write_text("# a comment\n\nCN=alice, O=lab = bytes 2K\nBob = requests 5/s\nbob = transfers 1, files 3\n")
    found = read_allowances(str(place), Allowance(bytes=1, requests=9.0, burst=20.0))
    assert found == {
        "CN=alice, O=lab": Allowance(bytes=2000, requests=9.0, burst=20.0),
        "Bob": Allowance(bytes=1, requests=5.0),
        "bob": Allowance(bytes=1, files=3, requests=9.0, burst=20.0, transfers=1),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("alice bytes 3\n", "line 1 is not a name"),
        ("= bytes 3\n", "line 1 is not a name"),
        ("a = bytes 1\na = bytes 2\n", "line 2: a has two lines"),
        ("a = byte 1\n", "line 1: 'byte 1' is not a list"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    place = tmp_path / "principals"
    place.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint):
        read_allowances(str(place), Allowance())


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        read_allowances(str(tmp_path / "none"), Allowance())
