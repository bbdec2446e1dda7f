"""Permissions: ranges of ids, grants, and what a principal may do."""

import pytest

from pacifica.archiveinterface.auth.permissions import Grant, IdRanges, Permission, Principal
from pacifica.archiveinterface.exception import NotAllowedError, UnauthenticatedError

LARGEST = (1 << 63) - 1


@pytest.mark.parametrize(
    ("texts", "ranges"),
    [
        ([], ()),
        (["7"], ((7, 7),)),
        (["1-999", "5000-"], ((1, 999), (5000, LARGEST))),
        (["5000-", "1-999"], ((1, 999), (5000, LARGEST))),
        (["0-4", "5-9"], ((0, 9),)),
        (["0-9", "3-4"], ((0, 9),)),
        (["3-4", "0-9", "9-12"], ((0, 12),)),
        (["0-", f"{LARGEST}"], ((0, LARGEST),)),
    ],
)
def test_ranges_are_sorted_and_merged(texts: list[str], ranges: tuple[tuple[int, int], ...]) -> None:
    assert IdRanges.parse(texts).ranges == ranges


@pytest.mark.parametrize("text", ["", "-", "-5", "a", "1-b", "9-2", "1-2-3", "007", "+7", "1_0", "٣", "1 - 2", "1-007"])
def test_a_malformed_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        IdRanges.parse([text])


@pytest.mark.parametrize(
    ("file_id", "is_in"),
    [
        ("0", False),
        ("1", True),
        ("999", True),
        ("1000", False),
        ("4999", False),
        ("5000", True),
        (f"{LARGEST}", True),
        (f"{LARGEST + 1}", False),
        ("007", False),
        ("+7", False),
        ("٣", False),
        ("report", False),
        ("", False),
    ],
)
def test_an_id_is_in_a_range_in_its_canonical_spelling(file_id: str, is_in: bool) -> None:
    assert (file_id in IdRanges.parse(["1-999", "5000-"])) is is_in


READER = Principal(
    "reader",
    "password",
    grants=(
        Grant(frozenset({Permission.READ})),
        Grant(frozenset({Permission.WRITE, Permission.MOVE}), IdRanges.parse(["10-19"])),
        Grant(frozenset({Permission.WRITE}), IdRanges.parse(["30-"])),
    ),
)


@pytest.mark.parametrize(
    ("permission", "file_id", "may"),
    [
        (Permission.READ, "5", True),
        (Permission.READ, "report", True),
        (Permission.READ, None, True),
        (Permission.WRITE, "10", True),
        (Permission.WRITE, "30", True),
        (Permission.WRITE, "20", False),
        (Permission.WRITE, "report", False),
        (Permission.WRITE, None, False),
        (Permission.MOVE, "30", False),
        (Permission.DELETE, "10", False),
        (Permission.ADMIN, None, False),
    ],
)
def test_a_principal_may_do_what_one_of_its_grants_covers(
    permission: Permission, file_id: str | None, may: bool
) -> None:
    assert READER.may(permission, file_id) is may


def test_the_refusal_names_the_permission_and_not_the_file() -> None:
    READER.require(Permission.READ, "20")
    with pytest.raises(NotAllowedError, match="write") as caught:
        READER.require(Permission.WRITE, "20")
    assert "20" not in str(caught.value)
    assert caught.value.auth_failure == "no_permission"


def test_a_client_that_has_not_said_who_it_is_is_asked_to() -> None:
    anonymous = Principal("anonymous", "anonymous", challenges='Basic realm="archive"')
    with pytest.raises(UnauthenticatedError, match="read") as caught:
        anonymous.require(Permission.READ, "20")
    assert caught.value.scheme == 'Basic realm="archive"'
    assert caught.value.auth_failure == "no_credentials"
