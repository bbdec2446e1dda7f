"""The properties of a resource, as PROPFIND of WebDAV tells them (RFC 4918)."""

from collections.abc import Mapping
from html import escape
from urllib.parse import quote

from ..backends.abstract.status import AbstractStatus
from ..exception import RequestError
from .answers import Answer
from .headers.dates import http_date

XML_TYPE = "application/xml; charset=utf-8"
LONGEST_QUERY = 1 << 16  # bytes; a query is the names of some properties

_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'


def is_infinite(request_headers: Mapping[str, str]) -> bool:
    """Return whether a request asks for all that is below a resource, as one without Depth does.

    Raises RequestError when Depth is none of 0, 1 and infinity.
    """
    depth = request_headers.get("Depth", "infinity").strip().lower()
    if depth not in ("0", "1", "infinity"):
        raise RequestError("send Depth as 0, 1 or infinity")
    return depth == "infinity"


def infinite_depth_answer() -> Answer:
    """Return the refusal to tell of all that is below a resource."""
    return _xml_answer("403 Forbidden", '<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>')


def root_properties_answer() -> Answer:
    """Return the properties of the root: a collection, whose members are not listed."""
    return _properties_answer("/", "<D:resourcetype><D:collection/></D:resourcetype>")


def file_properties_answer(file_id: str, status: AbstractStatus) -> Answer:
    """Return the properties of the file with *status*."""
    properties = {
        "resourcetype": "",
        "getcontentlength": str(status.filesize),
        "getlastmodified": http_date(status.mtime),
        "getetag": escape(status.etag, quote=False),
    }
    return _properties_answer(
        f"/{quote(file_id)}", "".join(f"<D:{name}>{value}</D:{name}>" for name, value in properties.items())
    )


def _properties_answer(path: str, properties: str) -> Answer:
    found = f"<D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
    response = f"<D:response><D:href>{path}</D:href>{found}</D:response>"
    return _xml_answer("207 Multi-Status", f'<D:multistatus xmlns:D="DAV:">{response}</D:multistatus>')


def _xml_answer(status: str, document: str) -> Answer:
    return Answer(status, {"Content-Type": XML_TYPE}, f"{_DECLARATION}{document}\n".encode())
