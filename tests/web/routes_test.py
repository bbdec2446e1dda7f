"""Paths that are not the archive's, and settings of a site for some paths."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cherrypy
import pytest
import requests

from pacifica.archiveinterface.web.routes import Router
from tests.support.service import POSIX_FLAT, TIMEOUT, Service, serving, tree_of

PAGES = ["/-/", "/-/no-page", "//-/no-page", "/-/../7", "/.well-known/wlcg-tape-rest-api", "/api/v1", "/api/v1/stage/7"]
METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"]


@pytest.fixture
def service(prefix: Path) -> Iterator[Service]:
    with serving(POSIX_FLAT.make(prefix)) as running:
        yield running


@pytest.mark.parametrize("method", METHODS)
def test_a_reserved_path_is_404_for_every_method(service: Service, prefix: Path, method: str) -> None:
    before = tree_of(prefix)
    for path in PAGES:
        head, _, body = service.raw(
            f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        ).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 Not Found")
        form = b"application/json" if "/-/" in path else b"application/problem+json"
        assert b"\r\nContent-Type: " + form in head
        assert (b"no such page" in body) == (method != "HEAD")
    assert tree_of(prefix) == before


@pytest.mark.parametrize("name", ["-", "api", "-7"])
def test_a_file_may_be_named_like_the_first_part_of_a_reserved_path(service: Service, name: str) -> None:
    assert service.request("PUT", f"/{name}", data=b"x").status_code == 201
    assert service.request("GET", f"/{name}").content == b"x"


def headers(name: str) -> dict[str, Any]:
    """Return settings that let CherryPy's tool add a header called *name*."""
    return {"tools.response_headers.on": True, "tools.response_headers.headers": [(name, "here")]}


def test_a_section_holds_at_its_path_and_below_it(prefix: Path) -> None:
    settings = {"/": headers("X-Site"), "/7": headers("X-Seven"), "/8": {"tools.response_headers.on": False}}
    with serving(POSIX_FLAT.make(prefix), settings) as service:
        for file_id in ("6", "7", "8", "77"):
            assert service.request("PUT", f"/{file_id}", data=b"x").status_code == 201
        told = {file_id: service.request("GET", f"/{file_id}").headers for file_id in ("6", "7", "8", "77")}
    assert {file_id: [name for name in ("X-Site", "X-Seven") if name in told[file_id]] for file_id in told} == {
        "6": ["X-Site"],
        "7": ["X-Seven"],
        "8": [],
        "77": ["X-Site"],
    }


def test_a_section_may_ask_for_a_password(prefix: Path) -> None:
    users = cherrypy.lib.auth_basic.checkpassword_dict({"ann": "secret"})
    realm = {"tools.auth_basic.on": True, "tools.auth_basic.realm": "pages", "tools.auth_basic.checkpassword": users}
    with serving(POSIX_FLAT.make(prefix), {"/7": realm}) as service:
        assert service.request("PUT", "/6", data=b"x").status_code == 201
        assert requests.put(f"{service.url}/7", data=b"x", timeout=TIMEOUT).status_code == 401
        allowed = requests.put(f"{service.url}/7", data=b"x", auth=("ann", "secret"), timeout=TIMEOUT)
        assert allowed.status_code == 201


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/", 1), ("/a", 2), ("/a/", 2), ("/ab", 1), ("/a/b", 3), ("/a/b/c", 3), ("/a/bc", 2)],
)
def test_the_deepest_section_overrides_those_above(path: str, expected: int) -> None:
    router = Router(object())
    router.set_sections(
        {"/a/b": {"response.timeout": 3}, "/": {"response.timeout": 1, "tools.x.y": ""}, "/a": {"response.timeout": 2}}
    )
    settings = router.settings_of(path)
    assert settings["response.timeout"] == expected
    assert settings["tools.x.y"] == ""  # a value that is false is a value


def test_what_the_service_decides_itself_no_section_overrides() -> None:
    router = Router(object())
    router.set_sections({"/": {"request.show_tracebacks": True, "tools.gzip.on": True, "hooks.before_handler": print}})
    settings = router.settings_of("/7")
    assert "request.show_tracebacks" not in settings
    assert "tools.gzip.on" not in settings
    assert settings["hooks.before_handler"] is print


def test_those_who_listen_to_cherrypy_s_events_are_told(prefix: Path) -> None:
    seen: list[str] = []

    def begin() -> None:
        seen.append("before_request")

    def end() -> None:
        seen.append("after_request")

    cherrypy.engine.subscribe("before_request", begin)
    cherrypy.engine.subscribe("after_request", end)
    try:
        with serving(POSIX_FLAT.make(prefix)) as service:
            assert service.request("GET", "/7").status_code == 404
    finally:
        cherrypy.engine.unsubscribe("before_request", begin)
        cherrypy.engine.unsubscribe("after_request", end)
    assert seen == ["before_request", "after_request"]
