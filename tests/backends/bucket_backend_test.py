"""A backend of another package: its prefix is a URL, and its section of config.ini is checked like ours."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from docs.examples.bucket_backend import BucketBackendArchive, BucketOptions
from pacifica.archiveinterface.exception import ConfigurationError
from tests.support.forked import forked_launcher, refusal_of_main

ROOT = Path(__file__).resolve().parents[2]
BUCKET = ["-t", "bucket", "--prefix", "bucket://demo"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on which the backend is installed, as far as entry points go."""
    metadata = tmp_path / "bucket_backend-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bucket-backend\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[pacifica.archiveinterface.backends]\nbucket = docs.examples.bucket_backend:BucketBackendArchive\n"
    )
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


def test_a_url_and_options_reach_the_backend(environment: dict[str, str], written: Callable[[str], str]) -> None:
    config = written("[bucket]\nlongest_key = 7\n[archive]\noverwrite = refuse\n")
    with forked_launcher("bucket://demo", "-t", "bucket", "-c", config, env=environment) as server:
        assert "serves bucket://demo on" in server.stderr
        assert requests.put(f"{server.url}/12345", data=b"x").status_code == 201
        assert requests.get(f"{server.url}/12345").content == b"x"
        assert requests.put(f"{server.url}/12345", data=b"y").status_code == 409
        assert requests.put(f"{server.url}/1234567890", data=b"x").status_code == 400


def test_without_a_file_its_options_have_their_defaults(environment: dict[str, str]) -> None:
    with forked_launcher("bucket://demo", "-t", "bucket", env=environment) as server:
        assert requests.put(f"{server.url}/1234567890", data=b"x").status_code == 201


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[bucket]\nlongest = 7\n", "[bucket] has no option 'longest'"),
        ("[bucket]\nlongest_key = long\n", "[bucket] longest_key = 'long' is not a number of at least 1"),
        ("[bucket]\naccess_key = me\n", "[bucket] access_key needs a secret_key"),
        ("[posix]\nuse_id2filename = perhaps\n", "[posix] use_id2filename = 'perhaps' is not true or false"),
    ],
)
def test_its_section_is_checked_like_ours(
    text: str, said: str, environment: dict[str, str], written: Callable[[str], str]
) -> None:
    assert said in refusal_of_main(*BUCKET, "-c", written(text), **environment)


def test_a_misspelt_section_of_it_is_told(environment: dict[str, str], written: Callable[[str], str]) -> None:
    said = refusal_of_main(*BUCKET, "-c", written("[buckett]\n"), **environment)
    assert "unknown section [buckett]; did you mean [bucket]?" in said


def test_it_refuses_a_prefix_that_it_cannot_serve(environment: dict[str, str]) -> None:
    assert "prefix '/tmp' is not bucket://NAME" in refusal_of_main("-t", "bucket", "--prefix", "/tmp", **environment)


def test_a_url_is_not_a_path_for_the_other_backends() -> None:
    assert "prefix 'bucket://demo' is not an absolute path" in refusal_of_main(
        "-t", "posix", "--prefix", "bucket://demo"
    )


def test_its_class_alone_has_the_defaults() -> None:
    assert BucketBackendArchive("bucket://demo").path_of("1")
    with pytest.raises(ConfigurationError, match="access_key"):
        BucketBackendArchive("bucket://demo", options=BucketOptions(access_key="me"))
