"""What the page on installation has root type, on a copy of this host that is thrown away."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.mounts import require_mounts
from tests.support.needs import need
from tests.support.page import typed
from tests.support.service import TIMEOUT

_ROOT = Path(__file__).parents[2]
# What changes is kept in memory, and forgotten with the mounts.
_ON_A_COPY = """
place=$1 source=$2 look=$3; shift 3
mount -t tmpfs none "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/root"
mount --bind /proc "$place/root/proc"
mkdir -p "$place/root$source"
mount --bind "$source" "$place/root$source"
chroot "$place/root" env --chdir "$source" "$@"
chroot "$place/root" sh -ec "$look"
"""


def on_a_copy(place: Path, look: str) -> list[str]:
    """Return a command that runs its arguments on a copy of this host, then the script *look*; it mounts at *place*."""
    need("unshare", "useradd", "systemctl")
    require_mounts()
    mounting = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _ON_A_COPY, "sh"]
    return [*mounting, str(place), str(_ROOT), look]


def seen_after(marker: str, look: str, place: Path) -> list[str]:
    """Type in the block of the page that follows *marker*; return the lines that the script *look* prints then."""
    # Nothing can be started there: systemctl changes files only.
    environment = {**os.environ, "SYSTEMD_OFFLINE": "1"}
    places, inside = {"enable --now": "enable"}, on_a_copy(place, look)
    return typed("docs/installation.md", marker, 8080, environment, places=places, inside=inside).splitlines()


def test_the_account_reads_its_configuration_and_others_do_not(tmp_path: Path) -> None:
    assert seen_after("units", 'stat -c "%U %G %a %n" /srv/archive /etc/pacifica/*; id -gn pacifica', tmp_path) == [
        "pacifica pacifica 750 /srv/archive",
        "root pacifica 640 /etc/pacifica/archiveinterface.env",
        "root pacifica 640 /etc/pacifica/config.ini",
        "root pacifica 640 /etc/pacifica/server.conf",
        "root pacifica 640 /etc/pacifica/uwsgi.ini",
        "pacifica",
    ]


@pytest.mark.parametrize(
    ("marker", "unit"),
    [("units", "pacifica-archiveinterface"), ("scrub", "pacifica-archiveinterface-scrub.timer")],
)
def test_what_is_installed_starts_with_the_system(marker: str, unit: str, tmp_path: Path) -> None:
    assert seen_after(marker, f"systemctl is-enabled {unit}", tmp_path) == ["enabled"]


def test_the_user_of_the_image_owns_what_it_writes_to(tmp_path: Path) -> None:
    text = (_ROOT / "deploy/Containerfile").read_text().replace("\\\n", "")
    (copied,) = re.findall("^COPY (.*) /etc/pacifica/$", text, re.MULTILINE)
    *_, last = re.findall("^RUN (.*)$", text, re.MULTILINE)
    script = f"mkdir /etc/pacifica; cp {copied} /etc/pacifica; {last}"
    look = "grep -c '^http-socket = 0.0.0.0:8080$' /etc/pacifica/uwsgi.ini; "
    look += "stat -c '%u %g' /srv/archive /run/pacifica-archiveinterface /var/lib/pacifica-archiveinterface"
    command = [*on_a_copy(tmp_path, look), "sh", "-ec", script]
    made = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert (made.returncode, made.stdout.splitlines()) == (0, ["1", *["10001 10001"] * 3]), made.stderr
