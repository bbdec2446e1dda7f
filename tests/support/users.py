"""Users of a service for tests: principals with tokens, and what they may do."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import bcrypt

from pacifica.archiveinterface.auth.files.tokens import Token, new_token
from pacifica.archiveinterface.auth.options import AuthOptions

PASSWORD = "secret"
HASHED = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$" + b"." * 22).decode()


class Users:
    """Files of users in the directory *home*, and the tokens of some of them."""

    def __init__(self, home: Path, permissions: str, token_names: Iterable[str] = (), passwords: str = "") -> None:
        self.permissions_file, self.token_file, self.password_file = (
            home / "permissions",
            home / "tokens",
            home / "users",
        )
        self.permissions_file.write_text(permissions)
        self.password_file.write_text(passwords)
        made: Mapping[str, tuple[Token, str]] = {name: new_token(name, None) for name in token_names}
        self.token_file.write_text("".join(f"{token.line()}\n" for token, _ in made.values()))
        self._tokens = {name: text for name, (_, text) in made.items()}

    @property
    def options(self) -> AuthOptions:
        """The options of a service with these users."""
        return AuthOptions(
            enabled=True,
            permissions_file=str(self.permissions_file),
            token_file=str(self.token_file),
            password_file=str(self.password_file),
        )

    def headers(self, name: str) -> dict[str, str]:
        """Return the header fields with which *name* sends its token; none for an empty name."""
        return {"Authorization": f"Bearer {self._tokens[name]}"} if name else {}
