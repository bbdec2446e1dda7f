"""PROPFIND: what WebDAV clients are told of a file and of the root."""

import socket
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import pytest
import requests

from pacifica.archiveinterface.backends.posix.status import PosixStatus
from pacifica.archiveinterface.http.options import HttpOptions
from pacifica.archiveinterface.http.properties import file_properties_answer
from tests.conftest import Serve
from tests.support.service import EACH_LAYOUT, ONCE, POSIX_FLAT, TIMEOUT, Service

MTIME = 1_700_000_000
ALL_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PROPFIND, PUT"
# As davix sends it.
QUERY = b"""<?xml version="1.0" encoding="utf-8" ?><D:propfind xmlns:D="DAV:" xmlns:L="LCGDM:"><D:prop>
<D:displayname/><D:getlastmodified/><D:creationdate/><D:getcontentlength/><D:quota-used-bytes/><D:resourcetype/>
<L:mode/></D:prop></D:propfind>"""
ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c SYSTEM "file:///etc/passwd">]><p>&b;&c;</p>"""


@pytest.fixture
def webdav(serve: Serve) -> Service:
    """A service for WebDAV clients, with file 7."""
    service = serve(http=HttpOptions(head="standard"))
    service.request("PUT", "/7", data=b"18 bytes are there", headers={"Last-Modified": str(MTIME)})
    return service


def propfind(service: Service, path: str, depth: str | None = "0", **options: Any) -> requests.Response:
    headers = {} if depth is None else {"Depth": depth}
    return requests.request("PROPFIND", f"{service.url}{path}", headers=headers, timeout=TIMEOUT, **options)


def properties_in(answer: requests.Response) -> tuple[str, dict[str, str]]:
    """Return the path and the properties of the only resource in *answer*."""
    responses = ElementTree.fromstring(answer.content).findall("{DAV:}response")
    assert len(responses) == 1
    assert responses[0].findtext("{DAV:}propstat/{DAV:}status") == "HTTP/1.1 200 OK"
    found = responses[0].findall("{DAV:}propstat/{DAV:}prop/*")
    # The text of a type is the names of what is in it.
    told = {each.tag: each.text or " ".join(inner.tag for inner in each) for each in found}
    return responses[0].findtext("{DAV:}href", ""), {name.removeprefix("{DAV:}"): text for name, text in told.items()}


@pytest.mark.parametrize("depth", ["0", "1"])
@pytest.mark.parametrize("query", [b"", QUERY, b"not XML", ENTITIES], ids=["empty", "davix", "not XML", "entities"])
@EACH_LAYOUT
def test_the_properties_of_a_file(webdav: Service, depth: str, query: bytes) -> None:
    answer = propfind(webdav, "/7", depth, data=query)
    assert (answer.status_code, answer.reason) == (207, "Multi-Status")
    assert answer.headers["Content-Type"] == "application/xml; charset=utf-8"
    assert properties_in(answer) == (
        "/7",
        {
            "resourcetype": "",
            "getcontentlength": "18",
            "getlastmodified": formatdate(MTIME, usegmt=True),
            "getetag": webdav.request("HEAD", "/7").headers["ETag"],
        },
    )


@pytest.mark.parametrize("depth", ["0", "1"])
@ONCE
def test_the_root_is_a_collection_without_members(webdav: Service, depth: str) -> None:
    answer = propfind(webdav, "/", depth)
    assert answer.status_code == 207
    assert properties_in(answer) == ("/", {"resourcetype": "{DAV:}collection"})


@pytest.mark.parametrize("path", ["/", "/7"])
@pytest.mark.parametrize("depth", [None, "infinity", "Infinity"])
@ONCE
def test_infinite_depth_is_refused(webdav: Service, path: str, depth: str | None) -> None:
    answer = propfind(webdav, path, depth)
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/xml; charset=utf-8"
    error = ElementTree.fromstring(answer.content)
    assert (error.tag, [condition.tag for condition in error]) == ("{DAV:}error", ["{DAV:}propfind-finite-depth"])


@pytest.mark.parametrize(
    ("path", "depth", "status"),
    [("/8", "0", 404), ("/8", "1", 404), ("/7/8", "0", 400), ("/..%2f7", "1", 400), ("/7", "2", 400), ("/7", "", 400)],
)
@ONCE
def test_errors_are_those_of_the_other_verbs(webdav: Service, path: str, depth: str, status: int) -> None:
    answer = webdav.request("PROPFIND", path, headers={"Depth": depth})  # checks the shape of errors
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"


@ONCE
def test_a_query_has_a_longest_length(webdav: Service) -> None:
    assert propfind(webdav, "/7", data=b" " * 65536).status_code == 207
    assert propfind(webdav, "/7", data=b" " * 65537).status_code == 413
    assert propfind(webdav, "/7", data=iter([b" " * 65536, b" "])).status_code == 413


@ONCE
def test_the_next_request_on_a_connection_is_not_taken_for_the_query(webdav: Service) -> None:
    query = f"PROPFIND /7 HTTP/1.1\r\nHost: a\r\nDepth: 0\r\nContent-Length: {len(QUERY)}\r\n\r\n".encode() + QUERY
    with socket.create_connection(("127.0.0.1", webdav.port), TIMEOUT) as connection:
        connection.sendall(query * 2)
        connection.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert [line for line in told.splitlines() if line.startswith(b"HTTP/1.1 ")] == [b"HTTP/1.1 207 Multi-Status"] * 2


@ONCE
def test_a_damaged_file_is_not_told_of(webdav: Service) -> None:
    with webdav.archive.open("7", "r") as file:
        file.mark_damaged("sha-256 was another")
    assert webdav.request("PROPFIND", "/7", headers={"Depth": "0"}).status_code == 500


@ONCE
def test_allow_names_propfind_where_it_is_answered(serve: Serve) -> None:
    documented, webdav = serve(), serve(http=HttpOptions(head="standard"))
    for service, of_files, of_the_root in [
        (webdav, ALL_METHODS, "GET, HEAD, OPTIONS, PROPFIND"),
        (documented, ALL_METHODS.replace("PROPFIND, ", ""), "GET, HEAD, OPTIONS"),
    ]:
        assert service.request("OPTIONS", "/7").headers["Allow"] == of_files
        assert service.request("BREW", "/7").headers["Allow"] == of_files
        assert service.request("OPTIONS", "/").headers["Allow"] == of_the_root
        assert service.request("DELETE", "/").headers["Allow"] == of_the_root
    for path in ("/", "/7"):
        answer = documented.request("PROPFIND", path, headers={"Depth": "0"})
        assert answer.status_code == 405
        assert "PROPFIND" not in answer.headers["Allow"]


def test_a_tag_with_signs_of_xml_is_told_as_it_is() -> None:
    status = PosixStatus(MTIME, MTIME, (18,), 18)
    status.version = "<a> & ]]>"  # a backend may give any
    body = file_properties_answer("7", status).body
    assert isinstance(body, bytes)
    assert ElementTree.fromstring(body).findtext(".//{DAV:}getetag") == '"<a> & ]]>"'


@pytest.mark.parametrize("name", ["a&b", "<x>", 'a"b', "ä ö", "100%", "a;b?c#d", "]]>"])
@pytest.mark.parametrize("backend", [POSIX_FLAT], ids=str, indirect=True)
def test_a_name_with_signs_of_xml_is_told_encoded(webdav: Service, name: str) -> None:
    webdav.request("PUT", f"/{quote(name)}", data=b"x")
    path, properties = properties_in(propfind(webdav, f"/{quote(name)}"))
    assert (unquote(path), properties["getcontentlength"]) == (f"/{name}", "1")
