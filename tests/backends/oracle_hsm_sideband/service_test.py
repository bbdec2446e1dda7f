"""The service as it is deployed: the post-deployment tests through tape, both launchers, forks and configuration."""

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.residency import Residency
from pacifica.archiveinterface.backends.conformance import put
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from pacifica.archiveinterface.backends.oracle_hsm_sideband.options import HsmSidebandOptions
from pacifica.archiveinterface.backends.oracle_hsm_sideband.residency import Asked, FirstAnswer, Unknown
from pacifica.archiveinterface.config import get_config
from pacifica.archiveinterface.exception import ConfigurationError, FileIdError, MissingFileError
from tests.backends.oracle_hsm_sideband.stand import CONTENT, FILE, Answer, Stand, standing
from tests.samqfs_emulator.host import READER, READER_PASSWORD, HsmHost
from tests.support.forked import forked_launcher
from tests.support.processes import uwsgi
from tests.support.service import TIMEOUT, Client
from tests.support.waiting import await_true

ROOT = Path(__file__).parents[3]
SUITE = ROOT / "post_deployment_tests" / "deployment_test.py"
NAMES = ("sam_qfs_prefix", "schema", "host", "user", "password", "port", "stager", "libsam", "residency")
PAUSE = 0.05  # seconds between two questions of a client; the service and the database need the processors, too
ON_BOTH = Answer(204, "disk", (18, 18))


@pytest.fixture
def environment(host: HsmHost, libraries: tuple[Path, Path], tmp_path: Path) -> dict[str, str]:
    """What a service on the host needs to be told."""
    options = host.options(stager="libsam", libsam=str(libraries[0]), residency="database")
    config = tmp_path / "config.ini"
    recalls = [f"database = sqlite:///{tmp_path}/recalls", "quiet_seconds = 0", "poll_seconds = 0.05"]
    backend = [f"{name} = {getattr(options, name)}" for name in NAMES]
    config.write_text("\n".join(["[recalls]", *recalls, "[hsm_sideband]", *backend]))
    return {
        "ARCHIVEINTERFACE_CONFIG": str(config),
        "PAI_BACKEND_TYPE": "hsmsideband",
        "SAMQFS_EMULATOR": str(host.filesystem.root),
    }


def test_the_deployment_tests_pass_through_release_and_stage(
    host: HsmHost, environment: dict[str, str], tmp_path: Path
) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    shutil.copy(SUITE, suite)
    migrate = f"cd {ROOT} && {sys.executable} -m tests.samqfs_emulator.demo {host.filesystem.root.parent} tape"
    host.daemons.start()
    try:
        with forked_launcher(host.filesystem.mount, "-t", "hsmsideband", env=environment) as service:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SUITE.name],
                cwd=suite,
                env={
                    **os.environ,
                    "ARCHIVE_URL": service.url,
                    "LARGE_FILE_SIZE": str((3 << 20) + 1),
                    "MANY_FILES_TEST_COUNT": "40",
                    "STAGE_TIMEOUT": "60",
                    "MIGRATE_COMMAND": migrate,
                },
                capture_output=True,
                text=True,
                check=False,
            )
    finally:
        host.daemons.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    calls = [line.split()[0] for line in host.filesystem.stage_calls()]
    assert calls.count("queued") >= 4  # text, binary, large, and the one that is read unstaged


def test_workers_forked_from_one_master_share_no_connection(host: HsmHost, environment: dict[str, str]) -> None:
    with uwsgi(host.filesystem.mount, env=environment) as server:
        stand = Stand(host, Client(int(server.url.rpartition(":")[2])))
        stand.archive()
        with ThreadPoolExecutor(16) as threads:
            answers = set(threads.map(lambda _: stand.head(), range(100)))
        assert answers == {ON_BOTH}
        assert 1 <= host.server.connections(READER) <= 40


def test_the_database_dies_and_comes_back_under_load(host: HsmHost) -> None:
    with standing(host) as stand:
        stand.archive()
        stand.tape("7")
        ended, answers = threading.Event(), set[tuple[str, Answer]]()

        def ask() -> None:
            while not ended.wait(PAUSE):
                answers.update((file_id, stand.head(file_id)) for file_id in (FILE, "7"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        try:
            for thread in threads:
                thread.start()
            for _ in range(2):
                await_true(lambda: (FILE, ON_BOTH) in answers)
                host.server.kill_connections(READER)
                host.server.kill()
                await_true(lambda: (FILE, Answer(204, "disk", (18, 0))) in answers)
                assert stand.service.request("GET", f"/{FILE}").content == CONTENT
                host.server.start()
                answers.clear()
            await_true(lambda: (FILE, ON_BOTH) in answers)
        finally:
            ended.set()
            for thread in threads:
                thread.join(TIMEOUT)
            if not host.server.pid:
                host.server.start()
        assert {answer.code for _, answer in answers} == {204}
        assert {answer.media for file_id, answer in answers if file_id == "7"} == {"tape"}
        assert {answer.media for file_id, answer in answers if file_id == FILE} == {"disk"}


def test_an_upload_that_the_database_does_not_have_yet_is_not_logged(
    host: HsmHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with standing(host, residency="database") as stand:
        stand.put()
        assert stand.head() == Answer(204, "disk", (18, 0))
    assert "no row" not in caplog.text


def test_an_older_file_that_the_database_does_not_have_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def no_row(files: Sequence[Asked]) -> list[Unknown]:
        return [Unknown("no row") for _ in files]

    caplog.set_level(logging.INFO)
    now = tmp_path.stat()
    before = os.stat_result((*now[:9], int(now.st_ctime) - 3600), {"st_blocks": now.st_blocks})
    residency_of = FirstAnswer([no_row])
    for found in (now, before, before):
        residency_of([Asked(found, FILE)])
    assert caplog.text.count("no row") == 1


def test_the_database_is_asked_once_for_many_files(host: HsmHost) -> None:
    archive = archive_of(host, residency="database")
    ids = [str(number) for number in range(1000, 1150)]
    for file_id in ids:
        put(archive, file_id, b"bytes")
    for file_id in ids[:2]:
        host.filesystem.archive(Path(archive.file(file_id).filepath))
    host.filesystem.release(Path(archive.file(ids[0]).filepath))
    host.updater.run_once()
    archive.residencies(ids[:1])  # finds out how the schema spells its columns
    before = questions_of(host)
    found = archive.residencies([*ids, "404", "007"])
    assert questions_of(host) == before + 1
    localities = [answer.locality.value for answer in found.values() if isinstance(answer, Residency)]
    assert localities == ["TAPE", "DISK_AND_TAPE", *["DISK"] * 148]
    assert isinstance(found["404"], MissingFileError)
    assert isinstance(found["007"], FileIdError)
    first = found[ids[0]]
    assert isinstance(first, Residency)
    assert [place.volume for place in first.places] == ["VOL001"]


def questions_of(host: HsmHost) -> int:
    """Return how many SELECTs the database server has answered."""
    return int(host.server.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")[0][1])


def test_the_grant_of_select_suffices(host: HsmHost) -> None:
    with standing(host) as stand:
        stand.tape()
        assert stand.head() == Answer(204, "tape", (0, 18))
    grants = [row[0].decode() for row in host.server.execute(f"SHOW GRANTS FOR '{READER}'@'{host.server.host}'")]
    rights = [grant.partition(" ON ")[0] for grant in grants]
    assert sorted(rights) == ["GRANT SELECT", "GRANT USAGE"]


def test_the_documented_names_are_there() -> None:
    assert HsmSidebandBackendArchive.path_info_munge("12345") == "39/3039"
    assert HsmSidebandBackendArchive.path_info_munge("5") == "file.5"


# Configuration


def archive_of(host: HsmHost, **changes: object) -> HsmSidebandBackendArchive:
    return HsmSidebandBackendArchive(
        str(host.filesystem.mount), options=host.options(**{"residency": "database", **changes})
    )


def levels_of(archive: HsmSidebandBackendArchive) -> tuple[int, ...]:
    return tuple(archive.file(FILE).status().bytes_per_level)


def test_the_password_comes_from_a_file_or_a_variable(
    host: HsmHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing(host) as stand:
        stand.archive()
    file = tmp_path / "password"
    file.write_text(f"{READER_PASSWORD}\n")
    monkeypatch.setenv("HSM_PASSWORD", READER_PASSWORD)
    assert levels_of(archive_of(host, password="wrong")) == (18, 0)
    assert levels_of(archive_of(host, password="wrong", password_file=str(file))) == (18, 18)
    assert levels_of(archive_of(host, password="wrong", password_file="", password_env="HSM_PASSWORD")) == (18, 18)


@pytest.mark.parametrize(
    "wrong",
    [
        {"password_file": "/nowhere/password"},
        {"password_env": "NOT_SET_ANYWHERE"},
        {"libsam": "/nowhere/libsam.so", "residency": "sam_stat"},
        {"libsam": "/nowhere/libsam.so", "stager": "libsam"},
        {"stager": "command", "stage_command": ()},
    ],
)
def test_a_wrong_setting_is_named(host: HsmHost, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"\[hsm_sideband\] (password|libsam|stage_command)"):
        archive_of(host, **wrong)


def test_a_library_that_is_no_libsam_is_named(host: HsmHost, libraries: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigurationError, match="libsam"):
        archive_of(host, libsam=str(libraries[1]), residency="sam_stat")


@pytest.mark.parametrize("line", ["residency = guess", "stager = tape", "pool_size = 0", "stage_command = 'stage"])
def test_a_malformed_option_is_refused(tmp_path: Path, line: str) -> None:
    config = tmp_path / "config.ini"
    config.write_text(f"[hsm_sideband]\n{line}\n")
    with pytest.raises(ConfigurationError, match=line.split()[0]):
        get_config(str(config))


def test_a_command_keeps_its_quoted_words(tmp_path: Path) -> None:
    config = tmp_path / "config.ini"
    config.write_text("[hsm_sideband]\nstage_command = ssh 'meta data' stage\n")
    assert get_config(str(config)).hsm_sideband.stage_command == ("ssh", "meta data", "stage")


def test_a_deployed_file_needs_no_new_option() -> None:
    defaults = HsmSidebandOptions()
    assert (defaults.residency, defaults.stager) == ("auto", "auto")


def test_a_missing_file_is_missing_though_the_database_is_down(host: HsmHost) -> None:
    host.server.kill()
    try:
        with pytest.raises(MissingFileError):
            archive_of(host).file("404").status()
    finally:
        host.server.start()
