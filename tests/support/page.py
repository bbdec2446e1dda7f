"""Commands that a page of the manual shows, for tests that type them in."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.service import TIMEOUT

_ROOT = Path(__file__).parents[2]


def typed(
    page: str,
    marker: str,
    port: int,
    environment: Mapping[str, str],
    make: str = "",
    places: Mapping[str, str] | None = None,
    inside: Sequence[str] = (),
) -> str:
    """Type in the block of *page* that follows *marker*, with *port* instead of 8080; return what it prints.

    *make* are further arguments of each ``make``; *places* are those of the test by what the page calls them.
    *inside* is a command that runs the shell.
    """
    text = (_ROOT / page).read_text()
    (block,) = re.findall(rf"<!-- typed by the tests: {marker} -->\n```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    script = f'set -e\nmake() {{ command make "$@" {make}; }}\ncurl() {{ command curl -sS --fail "$@"; echo; }}\n'
    for shown, real in {"8080": str(port), **(places or {})}.items():
        block = block.replace(shown, real)
    command = [*inside, "bash", "-c", script + block]
    ended = subprocess.run(
        command,
        cwd=_ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
