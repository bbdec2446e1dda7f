"""Tokens with WLCG's scopes, as gfal2 sends them."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.auth.site import OURS, running_issuer
from tests.support.forked import forked_launcher
from tests.support.grid import grid
from tests.support.issuer import Issuer
from tests.support.waiting import TIMEOUT

CONFIG = """
[http]
head = standard
[auth]
enabled = true
permissions_file = {home}/permissions
issuers_file = {home}/issuers.ini
"""
SECTION = """
[{issuer}]
audience = {audience}
permissions = read write replace stage poll delete move
"""


class Site(NamedTuple):
    """A service, the directory of its files, and the issuer whose tokens it accepts."""

    url: str
    archive: Path
    issuer: Issuer

    def run(self, command: str, *arguments: str, scope: str) -> int:
        """Run *command* with a token that has *scope*, and return its exit code."""
        return self.told(command, *arguments, scope=scope).returncode

    def told(self, command: str, *arguments: str, scope: str) -> "subprocess.CompletedProcess[str]":
        """Run *command* with a token that has *scope*."""
        return grid(command, *arguments, token=self.issuer.token(scope=scope))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service with file 7, for clients of the grid."""
    home = tmp_path_factory.mktemp("grid")
    (home / "archive").mkdir()
    (home / "archive" / "7").write_bytes(b"seven")
    (home / "permissions").touch()
    (home / "config.ini").write_text(CONFIG.format(home=home))
    with running_issuer() as issuer:
        (home / "issuers.ini").write_text(SECTION.format(issuer=issuer.url, audience=OURS))
        with forked_launcher(home / "archive", env={"ARCHIVEINTERFACE_CONFIG": str(home / "config.ini")}) as server:
            yield Site(server.url, home / "archive", issuer)


def test_a_file_is_read_with_its_scope(site: Site, tmp_path: Path) -> None:
    copied = ["gfal-copy", f"{site.url}/7", f"file://{tmp_path}/copy"]
    assert site.run(*copied, scope="storage.read:/8") != 0
    assert not (tmp_path / "copy").exists()
    assert site.run(*copied, scope="openid storage.read:/7") == 0
    assert (tmp_path / "copy").read_bytes() == b"seven"


@pytest.mark.parametrize("scope", ["storage.create:/", "storage.create:/8", "storage.modify:/8/"])
def test_a_file_is_stored_with_its_scope(site: Site, tmp_path: Path, scope: str) -> None:
    (tmp_path / "source").write_bytes(b"eight")
    copied = ["gfal-copy", f"file://{tmp_path}/source", f"{site.url}/8"]
    assert site.run(*copied, scope="storage.read:/ storage.stage:/ storage.modify:/88") != 0
    assert not (site.archive / "8").exists()
    assert site.run(*copied, scope=scope) == 0
    assert (site.archive / "8").read_bytes() == b"eight"
    assert site.run("gfal-rm", f"{site.url}/8", scope="storage.create:/ storage.read:/") == errno.EPERM
    assert site.run("gfal-rm", f"{site.url}/8", scope="storage.modify:/8") == 0
    assert not (site.archive / "8").exists()


def test_a_file_is_staged_with_its_scope(site: Site) -> None:
    staged = ["gfal-bringonline", "--polling-timeout", str(TIMEOUT), f"{site.url}/7"]
    assert "READY" in site.told(*staged, scope="storage.stage:/7").stdout
    assert "not allowed: stage" in site.told(*staged, scope="storage.read:/ storage.poll:/ storage.stage:/8").stdout


def test_the_locality_of_a_file_is_told_with_its_scope(site: Site) -> None:
    asked = ["gfal-xattr", f"{site.url}/7", "user.status"]
    assert site.told(*asked, scope="storage.poll:/7").stdout == "ONLINE\n"
    assert "not allowed: poll" in site.told(*asked, scope="storage.create:/ storage.poll:/8").stderr
    assert site.run("gfal-stat", f"{site.url}/7", scope="storage.poll:/") == errno.EPERM
