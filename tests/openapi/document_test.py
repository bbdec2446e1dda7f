"""The OpenAPI document is right, and describes all that the service answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator

from pacifica.archiveinterface.http.errors import STATUS_OF
from pacifica.archiveinterface.openapi.document import document
from pacifica.archiveinterface.openapi.errors import MEANINGS
from pacifica.archiveinterface.openapi.files import FILE
from pacifica.archiveinterface.openapi.headers import ANSWER, REQUEST
from pacifica.archiveinterface.openapi.pages import PAGES
from pacifica.archiveinterface.openapi.security import SCHEMES, Protection
from pacifica.archiveinterface.openapi.tape import TAPE
from tests.auth.hostile_site import NOBODY, Site, hostile_site
from tests.support.processes import Server

PAGE = (Path(__file__).parents[2] / "docs/http.md").read_text()
VERBS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
PROTECTED = Protection(True, tuple(SCHEMES), {"/-/health"}, True)
BY_SERVERS = {414, 431}  # which the service does not raise itself


def table_of(section: str) -> dict[str, list[str]]:
    """Return the cells of the table in a *section* of the page on HTTP, by the first cell of their row."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)]
    return {row[0]: row[1:] for row in rows[2:]}


def statuses_of(described: dict[str, Any], status: str) -> Iterator[tuple[str, str]]:
    """Yield the operations of a document that have *status*, as method and path."""
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and status in operation["responses"]:
                yield method, path


@pytest.mark.parametrize("protection", [Protection(), PROTECTED])
def test_the_document_is_valid(protection: Protection) -> None:
    OpenAPIV31SpecValidator(document([*PAGES, *TAPE], protection)).validate()


def test_users_and_limits_are_described_on_all_operations() -> None:
    described = document([*PAGES, *TAPE], PROTECTED)
    everywhere = {
        (method, path) for path, item in described["paths"].items() for method in item if method != "parameters"
    }
    health = {("get", "/-/health"), ("head", "/-/health")}
    assert set(statuses_of(described, "401")) == everywhere - health
    assert set(statuses_of(described, "403")) == everywhere - health - {("get", "/"), ("head", "/")}
    assert set(statuses_of(described, "429")) == everywhere - health
    assert described["paths"]["/{id}"]["get"]["responses"]["401"]["headers"].keys() >= {"WWW-Authenticate"}


def test_users_are_needed_except_where_the_document_says_so() -> None:
    described = document([*PAGES, *TAPE], PROTECTED)
    paths = described["paths"]
    schemes: list[dict[str, list[str]]] = [{scheme: []} for scheme in SCHEMES]
    assert described["security"] == schemes
    assert paths["/"]["get"]["security"] == [{}, *schemes]
    assert paths["/-/health"]["get"]["security"] == []
    assert "security" not in paths["/"]["options"]
    assert "security" not in paths["/{id}"]["get"]


def test_the_service_asks_for_a_user_where_its_document_says_so(guarded: Site) -> None:
    described = requests.get(f"{guarded.server.url}/-/openapi.json").json()
    assert described["components"]["securitySchemes"].keys() == {"basic", "bearer"}
    for path, item in described["paths"].items():
        for method in item.keys() - {"parameters"}:
            url = guarded.server.url + path.replace("{id}", "5").replace("{request}", "5")
            answer = requests.request(method.upper(), url)
            needs_user = {} not in item[method].get("security", described["security"]) and item[method].get(
                "security", True
            )
            assert (answer.status_code == 401) == bool(needs_user), (method, path)
            assert str(answer.status_code) in item[method]["responses"]
            wrong = requests.request(method.upper(), url, auth=("bob", "wrong"))
            assert (wrong.status_code == 401) == ("401" in item[method]["responses"]), (method, path)
            unable = requests.request(method.upper(), url, headers=dict([guarded.bearer(NOBODY).split(": ")]))
            assert str(unable.status_code) in item[method]["responses"], (method, path)


def test_what_limits_refuse_is_described(tmp_path: Path) -> None:
    limits = (
        "[limits]",
        f"database = sqlite:///{tmp_path}/limits.sqlite",
        "principal = bytes 10, requests 1/s, burst 5",
    )
    with hostile_site(tmp_path, "launcher", *limits) as site:
        described = requests.get(f"{site.server.url}/-/openapi.json").json()["paths"]["/{id}"]
        assert site.ask("admin", "PUT", "/6", (), b"eleven byte").status == 507
        answers = (site.ask("admin", "GET", "/6") for _ in range(200))
        refused = next(answer for answer in answers if answer.status == 429)
    assert "507" in described["put"]["responses"]
    assert "Retry-After" in described["get"]["responses"]["429"]["headers"]
    assert b"\r\nretry-after: " in refused.head.lower()


def test_without_users_nothing_is_said_of_them() -> None:
    described = document([*PAGES, *TAPE])
    assert "security" not in described
    assert "securitySchemes" not in described["components"]
    told = {path for _, path in statuses_of(described, "401")}
    assert told == {"/-/metrics", "/-/recalls", "/-/recalls/events"}  # which may need a token of their own


def test_every_route_is_described_with_all_its_methods(server: Server) -> None:
    paths = requests.get(f"{server.url}/-/openapi.json").json()["paths"]
    assert {path.replace("{request}", "*") for path in paths} == {"/", "/{id}", *PAGES, *TAPE}
    for path, item in paths.items():
        if path != "/":  # one resource with the files
            answer = requests.request("BREW", server.url + path.replace("{id}", "5"))
            assert answer.status_code == 405
            described = {method.upper() for method in item if method != "parameters"}
            assert set(answer.headers["Allow"].split(", ")) == described, path


def test_every_status_of_an_error_has_its_meaning() -> None:
    assert set(MEANINGS) == {int(status) for status in STATUS_OF.values()} - {200} | BY_SERVERS


@pytest.mark.parametrize("verb", VERBS)
def test_the_manual_and_the_document_name_the_same_statuses_of_a_verb(verb: str) -> None:
    column = VERBS.index(verb)
    told = {
        int(status)
        for statuses, cells in table_of("Statuses").items()
        for status in statuses.split(", ")
        if cells[column]
    }
    described = document([], PROTECTED)["paths"]["/{id}"][verb.lower()]["responses"]
    assert {int(status) for status in described} == told - {405}  # of what the resource does not have
    assert set(FILE) == {*VERBS, "OPTIONS"}


def test_the_manual_and_the_document_name_the_same_headers() -> None:
    def names(section: str) -> set[str]:
        return {name for cell in table_of(section) for name in re.findall("`([A-Z][A-Za-z0-9-]+)", cell)}

    framing = {"Content-Length", "Transfer-Encoding", "Content-Type", "Connection"}
    assert set(REQUEST) - {"Last-Event-ID"} == names("Request headers") - framing - {"Content-Range", "Expect"}
    assert set(ANSWER) - {"Cache-Control", "Location"} == names("Answer headers") - framing
