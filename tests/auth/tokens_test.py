"""Static Bearer tokens."""

import hashlib
from pathlib import Path

import pytest

from pacifica.archiveinterface.auth.files.tokens import Token, Tokens, new_token
from pacifica.archiveinterface.exception import ConfigurationError, UnauthenticatedError
from tests.support.recall_site import Clock

TEXT = f"pai_{'1' * 12}_{'s' * 43}"
TOKEN = Token("1" * 12, hashlib.sha256(TEXT.encode()).hexdigest(), None, "cart")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one token."""
    (tmp_path / "tokens").write_text(f"# tokens\n\n{TOKEN.line()}\n")
    return tmp_path / "tokens"


@pytest.fixture
def tokens(path: Path) -> Tokens:
    """The tokens in it."""
    return Tokens(str(path), "archive")


def name_of(tokens: Tokens, text: str, scheme: str = "Bearer") -> str | None:
    """Return whose token *text* is, None if it is of another kind."""
    found = tokens.principal({"HTTP_AUTHORIZATION": f"{scheme} {text}"})
    assert found is None or found.how == "token"
    return found.name if found else None


def test_a_token_stands_for_its_principal(tokens: Tokens) -> None:
    assert name_of(tokens, TEXT) == "cart"
    assert name_of(tokens, TEXT, "bearer") == "cart"


def test_the_file_does_not_give_the_token_away(path: Path) -> None:
    assert TEXT.rpartition("_")[2] not in path.read_text()
    assert len(TEXT) == len("pai_") + 12 + 1 + 43  # 43 characters of base64 have 256 bits


def test_no_two_tokens_are_equal() -> None:
    assert len({new_token("cart", None)[1] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("scheme", "text"), [("Basic", TEXT), ("Bearer", "eyJh.eyJz.c2ln"), ("Bearer", ""), ("Bearer", "PAI_x")]
)
def test_other_credentials_are_left_to_others(tokens: Tokens, scheme: str, text: str) -> None:
    assert name_of(tokens, text, scheme) is None
    assert tokens.principal({}) is None


@pytest.mark.parametrize(
    "text", [TEXT[:-1], f"{TEXT}A", TEXT[:-4] + "AAAA", f"pai_{'0' * 12}_{'A' * 43}", "pai_", f"{TEXT} x"]
)
def test_a_wrong_token_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        name_of(tokens, text)
    assert caught.value.scheme == 'Bearer realm="archive", error="invalid_token"'


def test_a_token_expires(path: Path, clock: Clock) -> None:
    token, text = new_token("cart", clock.time() + 60)
    path.write_text(f"{token.line()}\n")
    tokens = Tokens(str(path), "archive")
    assert name_of(tokens, text) == "cart"
    clock.go_on(61)
    with pytest.raises(UnauthenticatedError, match="expired"):
        name_of(tokens, text)


def test_a_token_ends_with_its_line(path: Path, tokens: Tokens) -> None:
    other, other_text = new_token("cart", None)
    path.write_text(f"{other.line()}\n")
    assert name_of(tokens, other_text) == "cart"
    with pytest.raises(UnauthenticatedError):
        name_of(tokens, TEXT)


def test_a_token_cannot_be_used_with_the_id_of_another(path: Path, tokens: Tokens) -> None:
    other, _ = new_token("admin", None)
    path.write_text(f"{TOKEN.line()}\n{other.line()}\n")
    with pytest.raises(UnauthenticatedError):
        name_of(tokens, f"pai_{other.id}_{TEXT.rpartition('_')[2]}")


@pytest.mark.parametrize(
    "line",
    [
        "x",
        f"{'0' * 12} {'0' * 64} never",
        f"{'0' * 12} {'0' * 63} never cart",
        f"{'0' * 12} {'0' * 64} tomorrow cart",
        f"{'0' * 12} {'0' * 64} 2030-01-31 cart",
        f"{'0' * 12} {'0' * 64} never a:b",
        TOKEN.line(),
    ],
)
def test_a_malformed_line_is_refused_at_start(path: Path, line: str) -> None:
    path.write_text(f"{TOKEN.line()}\n{line}\n")
    with pytest.raises(ConfigurationError, match=f"{path}: line 2: "):
        Tokens(str(path), "archive")


def test_a_line_says_when_the_token_expires() -> None:
    assert Token("0" * 12, "0" * 64, 1_900_000_000, "cart").line() == f"{'0' * 12} {'0' * 64} 2030-03-17T17:46:40Z cart"
