"""The tape API for users who may not do all, each file for itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.pages.options import PagesOptions
from tests.support.recalls import recalls_of
from tests.support.service import POSIX_TREE, Service, serving
from tests.support.users import Users

PERMISSIONS = """
stager = stage 1-99
poller = poll 1-9
reader = read 1-9
other = stage 100-199
all = write, stage, poll
operator = admin
"""
NAMES = ("stager", "poller", "reader", "other", "all", "operator")


@dataclass
class Site:
    """A service with users and with the tape API."""

    service: Service
    users: Users

    def ask(self, name: str, method: str, path: str, content: object = None) -> requests.Response:
        """Send a request as *name*, nobody if empty."""
        return self.service.request(method, f"/api/v1{path}", json=content, headers=self.users.headers(name))

    def stage(self, name: str, *paths: str) -> str:
        """Return the id of a new request of *name*."""
        answer = self.ask(name, "POST", "/stage", {"files": [{"path": path} for path in paths]})
        assert answer.status_code == 201
        return str(answer.json()["requestId"])

    def files(self, name: str, request: str, query: str = "") -> dict[str, str]:
        """Return the errors of the files of the *request* that *name* sees, by their paths; empty for none."""
        answer = self.ask(name, "GET", f"/stage/{request}{query}")
        assert answer.status_code == 200
        return {file["path"]: file.get("error", "") for file in answer.json()["files"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service with users, and three files; all are on disk."""
    home = tmp_path_factory.mktemp("users")
    users = Users(home, PERMISSIONS, NAMES)
    archive = POSIX_TREE.make(home / "archive")
    recalls = recalls_of(archive, home)
    options: AuthOptions = users.options
    pages = PagesOptions(recalls="users")
    with recalls.at_work(), serving(archive, recalls=recalls, auth=options, pages=pages) as service:
        site = Site(service, users)
        for file_id in ("5", "55", "155"):
            sent = users.headers("all")
            assert service.request("PUT", f"/{file_id}", data=b"x", headers=sent).status_code == 201
        yield site


def test_files_that_may_not_be_staged_fail_each_for_itself(site: Site) -> None:
    request = site.stage("stager", "/5", "/155", "/nonsense")
    files = site.files("stager", request)
    assert list(files) == ["/5", "/155", "/nonsense"]
    assert (files["/5"], files["/155"]) == ("", "not allowed: stage")
    assert site.files("stager", site.stage("stager", "/155")) == {"/155": "not allowed: stage"}


def test_the_refusal_is_the_same_for_files_that_do_not_exist(site: Site) -> None:
    files = site.files("stager", site.stage("stager", "/155", "/156"))
    assert set(files.values()) == {"not allowed: stage"}


def test_a_poll_shows_the_files_that_may_be_staged_or_polled(site: Site) -> None:
    request = site.stage("all", "/5", "/55", "/155")
    assert list(site.files("all", request)) == ["/5", "/55", "/155"]
    assert list(site.files("stager", request)) == ["/5", "/55"]
    assert list(site.files("poller", request)) == ["/5"]
    assert list(site.files("other", request)) == ["/155"]
    for name in ("reader", "operator"):  # as if there were no such request
        assert site.ask(name, "GET", f"/stage/{request}").status_code == 404


def test_a_poll_of_what_has_changed_may_show_nothing(site: Site) -> None:
    request = site.stage("all", "/5", "/155")
    later = "?since=99999999999"
    assert site.files("poller", request, later) == {}
    assert site.ask("operator", "GET", f"/stage/{request}{later}").status_code == 404


def test_cancel_and_release_need_the_files_that_they_name(site: Site) -> None:
    request = site.stage("all", "/5", "/155")
    for verb in (f"/stage/{request}/cancel", f"/release/{request}", "/release/unknown"):
        assert site.ask("stager", "POST", verb, {"paths": ["/5"]}).status_code == 200
        for name, paths in (("stager", ["/5", "/155"]), ("poller", ["/5"]), ("operator", ["/5"])):
            answer = site.ask(name, "POST", verb, {"paths": paths})
            assert answer.status_code == 403
            assert answer.json()["detail"].endswith("the permission stage")


def test_a_request_is_deleted_by_who_may_stage_all_of_its_files(site: Site) -> None:
    request = site.stage("all", "/5", "/155")
    for name, status in (("stager", 403), ("other", 403), ("poller", 403), ("operator", 404)):
        assert site.ask(name, "DELETE", f"/stage/{request}").status_code == status
    assert site.ask("all", "DELETE", f"/stage/{request}").status_code == 200
    assert site.ask("all", "GET", f"/stage/{request}").status_code == 404
    own = site.stage("stager", "/5", "/155")
    assert site.ask("stager", "DELETE", f"/stage/{own}").status_code == 200


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("all", ["/5", "/55", "/155"]),
        ("stager", ["/5", "/55"]),
        ("poller", ["/5"]),
        ("reader", ["/5"]),
        ("other", ["/155"]),
    ],
)
def test_archiveinfo_tells_of_files_that_may_be_polled_read_or_staged(site: Site, name: str, seen: list[str]) -> None:
    answer = site.ask(name, "POST", "/archiveinfo", {"paths": ["/5", "/55", "/155", "/9999"]})
    assert answer.status_code == 200
    told = {entry["path"]: entry for entry in answer.json()}
    assert [path for path, entry in told.items() if "locality" in entry] == seen
    refused = {"error": "not allowed: poll"}
    for path, entry in told.items():
        if path not in seen and not (name == "all" and path == "/9999"):
            assert entry == {"path": path, **refused}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/stage"), ("GET", "/stage/x"), ("DELETE", "/stage/x"), ("POST", "/archiveinfo"), ("POST", "/release/x")],
)
def test_nobody_uses_the_tape_api_without_logging_in(site: Site, method: str, path: str) -> None:
    answer = site.ask("", method, path, {"paths": ["/5"]})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_discovery_needs_no_user(site: Site) -> None:
    assert site.service.request("GET", "/.well-known/wlcg-tape-rest-api").status_code == 200


@pytest.mark.parametrize(("name", "status"), [("", 401), ("all", 403), ("operator", 200)])
def test_the_page_of_recalls_may_be_for_administrators(site: Site, name: str, status: int) -> None:
    assert site.service.request("GET", "/-/recalls", headers=site.users.headers(name)).status_code == status
