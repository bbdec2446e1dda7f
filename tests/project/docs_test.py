"""The pages tell the truth: every command they show is run and answers as shown, every made file is current."""

import json
import re
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from docs.generate import MADE
from pacifica.archiveinterface.config import Config, get_config
from pacifica.archiveinterface.http.errors import STATUS_OF
from pacifica.archiveinterface.web.settings import BUILT_IN, read_cherrypy_config
from tests.support.reader import FENCE, ROOT, Reader, steadied, steps_of
from tests.support.service import TIMEOUT

PAGES = [
    "README.md",
    "docs/audit.md",
    "docs/backup.md",
    "docs/exampleusage.md",
    "docs/http.md",
    "docs/layout.md",
    "docs/limits.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/s3.md",
    "docs/servers.md",
    "docs/tape-api.md",
    "docs/testing.md",
    "docs/upgrade.md",
    "docs/users.md",
]
NO_COMMANDS = {"json", "js", "ini", "nginx", "apache", "text", "yaml"}  # languages of blocks that hold no commands
# What a page takes for granted.
BEFORE = {
    "docs/metrics.md": ["pacifica-archiveinterface -t posix -p 8080 -a 127.0.0.1 --prefix /srv/archive"],
    "docs/testing.md": [
        "pacifica-archiveinterface -t posix -p 8080 -a 127.0.0.1 --prefix /srv/archive",
        "export LARGE_FILE_SIZE=1048577 MANY_FILES_TEST_COUNT=20",
    ],
}
# What AWS lets an account do that may make each of these calls.
PERMISSIONS = {
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "complete_multipart_upload": {"s3:PutObject"},
    "copy_object": {"s3:GetObject", "s3:PutObject"},
    "create_bucket": set(),  # for tries only
    "create_multipart_upload": {"s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject", "s3:ListBucket"},  # without the second, what does not exist is 403
    "list_multipart_uploads": {"s3:ListBucketMultipartUploads"},
    "list_objects_v2": {"s3:ListBucket"},
    "list_parts": {"s3:ListMultipartUploadParts"},
    "put_object": {"s3:PutObject"},
    "restore_object": {"s3:RestoreObject"},
    "upload_part": {"s3:PutObject"},
    "upload_part_copy": {"s3:GetObject", "s3:PutObject"},
}


def blocks(language: str) -> list[str]:
    """Return all blocks in *language* of all pages."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [block for page in pages for name, block in FENCE.findall(page.read_text()) if name == language]


def block_with(word: str) -> dict[str, object]:
    """Return the JSON that has *word* in it."""
    (block,) = [block for block in blocks("json") if word in block]
    return dict(json.loads(block))


@pytest.mark.parametrize("block", blocks("json"))
def test_the_json_that_a_page_shows_can_be_read(block: str) -> None:
    assert json.loads(block)


@pytest.mark.parametrize("block", blocks("ini"))
def test_the_options_that_a_page_shows_exist(block: str, tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text(block)
    assert get_config(str(tmp_path / "config.ini")) != Config()


def test_the_permissions_for_s3_are_those_of_the_calls_that_are_made() -> None:
    sources = (ROOT / "pacifica/archiveinterface/backends/s3").rglob("*.py")
    names = set(re.findall(r'"([a-z]+(?:_[a-z0-9]+)+)"', "".join(path.read_text() for path in sources)))
    calls = names & set(dir(boto3.client("s3", region_name="us-east-1")))
    policy = json.dumps(block_with('"s3:GetObject"'))
    assert set(re.findall("s3:[A-Za-z]+", policy)) == set().union(*(PERMISSIONS[call] for call in calls))


def test_the_lifecycle_rules_for_s3_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    rules = block_with("AbortIncompleteMultipartUpload")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="archive")
        client.put_bucket_lifecycle_configuration(Bucket="archive", LifecycleConfiguration=rules)
        kept = client.get_bucket_lifecycle_configuration(Bucket="archive")["Rules"]
    assert [rule["ID"] for rule in kept] == ["unfinished uploads", "large files to the archive class"]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    with closing(Reader(tmp_path)) as reader:
        for command in BEFORE.get(page, []):
            reader.type_in(command)
        for command, shown in steps_of((ROOT / page).read_text()):
            printed, exit_code = reader.type_in(command)
            if shown is None:
                assert exit_code == 0, f"{command}\n{printed}"
            else:
                reader.learn(shown, printed)
                assert steadied(printed) == steadied(reader.real(shown)), command


@pytest.mark.parametrize("page", PAGES)
def test_no_command_hides_from_the_test(page: str) -> None:
    text = (ROOT / page).read_text()
    assert {language for language, _ in FENCE.findall(text)} <= {"sh", "console"} | NO_COMMANDS
    assert len(re.findall("^ *(```|~~~)", text, re.MULTILINE)) == 2 * len(FENCE.findall(text))


@pytest.mark.parametrize("made", MADE, ids=lambda path: path.name)
def test_what_is_made_from_the_option_table_is_current(made: Path) -> None:
    assert made.read_text() == MADE[made](), "run docs/generate.py"


def test_what_is_made_does_not_depend_on_the_packages_at_hand() -> None:
    program = "import sys; sys.modules['google_crc32c'] = None; from docs.generate import MADE; "
    program += "sys.exit(any(made.read_text() != make() for made, make in MADE.items()))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=TIMEOUT).returncode == 0


def test_the_shipped_configuration_is_the_defaults() -> None:
    assert get_config(str(ROOT / "config.ini")) == Config()


def test_the_shipped_cherrypy_file_is_the_built_in_settings() -> None:
    assert read_cherrypy_config(str(ROOT / "server.conf")) == {"global": BUILT_IN}


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    # Sphinx makes millions of objects that live to its end: looking for cycles among them takes a third of its time.
    program = "import gc, sys; gc.disable(); from sphinx.cmd.build import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert built.stderr == "", "if a theme or an extension is missing: make .venv/.test"


def test_the_page_on_http_names_every_status() -> None:
    page = (ROOT / "docs/http.md").read_text()
    told = {int(number) for row in re.findall(r"^\| (\d[\d, ]+) \|", page, re.MULTILINE) for number in row.split(",")}
    assert {int(status) for status in STATUS_OF.values()} <= told


def test_troubleshooting_names_texts_that_the_service_has() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "pacifica").rglob("*.py")))
    source = re.sub(r'"\s+f?"', "", source)  # a long text stands on several lines
    page = (ROOT / "docs/troubleshooting.md").read_text()
    first_cells = re.findall(r"^\| ([^|]*)", page, re.MULTILINE)
    texts = [text for cell in first_cells for text in re.findall("`([^`]{15,})`", cell) if "nginx" not in text]
    assert len(texts) > 30
    missing = [text for text in texts if any(part.strip() not in source for part in text.split("..."))]
    assert missing == []


def test_the_page_on_the_architecture_names_what_exists() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    names = re.findall(r"(?<=`)([a-z]\w*(?:\.\w+)*)(?::([\w.]+))?(?=`)", page)
    assert len(names) > 50
    for module, member in names:
        full_name = f"pacifica.archiveinterface.{module}"
        assert find_spec(full_name), full_name
        if member:
            attrgetter(member)(import_module(full_name))
