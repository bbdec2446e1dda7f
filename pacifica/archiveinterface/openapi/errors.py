"""The statuses of errors, and what they mean."""

from collections.abc import Mapping

from .operation import JSON, Body, schema

MEANINGS: Mapping[int, str] = {
    400: "the request is malformed: id, date, range query, digest, JSON or framing",
    401: "the service needs a user, or the page a token, and none was sent, or a wrong one",
    403: "the user lacks the permission that the message names, the site does not allow the request, or the path leads"
    " through a symbolic link or out of the archive",
    404: "there is no such file, request or page",
    405: "the resource does not have the method; `Allow` lists those that it has",
    408: "the request took too long to arrive, or nothing more of its body came",
    409: "the target exists and may not be replaced, the source changed, or a recall has failed for good",
    411: "the body has neither a length nor the coding `chunked`",
    412: "a condition of the request does not hold",
    413: "the body is longer, or names more files, than the site allows",
    414: "request line and headers are too long",
    415: "the body is not `application/json`",
    416: "no byte of the range is in the file; `Content-Range` gives its size",
    429: "too many requests or transfers of one client, or too many files that wait for their recall; ask again after"
    " `Retry-After`",
    431: "request line and headers are too long",
    500: "the service failed, or the file is damaged; the log has the reason under the request id",
    501: "a transfer coding other than `chunked`, or something that this installation does not have",
    503: "the file is being recalled, or the storage does not answer; ask again after `Retry-After`",
    505: "an HTTP version other than 1.0 and 1.1",
    507: "no space is left, or a quota is used up",
}

# The server finds these, whatever the path is.
OF_THE_SERVER = (400, 408, 414, 431, 500, 501, 503, 505)

HEADERS: Mapping[int, str] = {
    401: "WWW-Authenticate",
    405: "Allow",
    416: "Content-Range",
    429: "Retry-After",
    503: "Retry-After",
}

ERROR = Body(JSON, schema("Error"))
PROBLEM = Body("application/problem+json", schema("Problem"))
