"""What users try without the permission, over HTTP: they get nothing, and learn nothing of files and secrets."""

import base64
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.auth.hostile_site import NOBODY, PASSWORD, SECRET, TREE, Answer, Site, answer_on, basic, hostile_site

JSON = ("Content-Type: application/json",)
REFUSALS = {400, 401, 403, 404, 405}
VERBS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
# The server reads the path before it looks for the user: two methods are enough for all users but one.
USERS_AND_VERBS = [
    *(("reader", verb) for verb in VERBS),
    (NOBODY, "GET"),
    (NOBODY, "PUT"),
    (None, "GET"),
    (None, "DELETE"),
]


@pytest.fixture(scope="module", params=["launcher", "uwsgi"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service with users, and with files that must be as they were in the end."""
    # Ids that are numbers only, and PROPFIND, are there once.
    more = ["[http]", "head = standard", *TREE] if request.param == "uwsgi" else []
    home = tmp_path_factory.mktemp("hostile")
    more += ["[audit]", f"directory = {home}/audit", "events = denied failed reads", "sync = none"]
    (home / "audit").mkdir()
    with hostile_site(home, request.param, *more) as running:
        before = running.stored()
        yield running
        assert running.stored() == before


def ask(site: Site, user: str | None, verb: str, path: str, *headers: str) -> Answer:
    """Send a request that is complete for its *verb*."""
    if verb == "PATCH":
        return site.ask(user, verb, path, (*headers, *JSON), b'{"path": "/etc/hostname"}')
    return site.ask(user, verb, path, headers, b"new" if verb == "PUT" else None)


@pytest.mark.parametrize(
    "path",
    [
        "/5",
        "//5",
        "///5",
        "/5/",
        "/%35",
        "/%2f5",
        "/.//5",
        "/./5",
        "/1000/../5",
        "/1000/%2e%2e/5",
        "/1000%2f..%2f5",
        "/..%2farchive%2f5",
        "/5;x",
        "/5%3bx",
        "/5;1000",
        "/5%00",
        "/5%00/1000",
        "/5%20",
        "/%205",
        "/5%0a",
        "/05",
        "/+5",
        "/-5",
        "/5.0",
        "/0x5",
        "/%D9%A5",
        "/5?id=1000",
        "/5?/1000",
        "/5#/1000",
        "/5&1000",
        "/1000?byte_range=0-3&file_id=5/../../5",
        "http://archive/5",
        "http://archive//5",
        "http://bob@archive/5",
        "http://archive/1000/../5",
        "/-/../5",
        "/-/health/../../5",
        "/-/files/5",
        "/api/v1/../../5",
        "/5\\",
        "\\5",
        "5",
        "*",
    ],
)
def test_no_spelling_of_its_path_reaches_a_file(site: Site, path: str) -> None:
    for user, verb in USERS_AND_VERBS:
        answer = ask(site, user, verb, path)
        is_allowed = user == "reader" and verb in ("GET", "HEAD") and path.startswith("/1000?")
        assert answer.status in ({200, 204} if is_allowed else REFUSALS), (user, verb)
        assert is_allowed or SECRET[:9] not in answer.body


@pytest.mark.parametrize("path", ["//1000", "/%31000", "http://archive/1000"])
def test_other_spellings_of_an_allowed_path_are_the_same_file(site: Site, path: str) -> None:
    assert site.ask("reader", "GET", path).body == SECRET
    assert site.ask(NOBODY, "GET", path).status == 403


@pytest.mark.parametrize(
    ("user", "path", "status"),
    [
        ("reader", "/999", 403),
        ("reader", "/1000", 200),
        ("reader", "/1999", 200),
        ("reader", "/2000", 403),
        ("reader", "/1500", 404),
        ("reader", "/01000", 400),
        ("reader", "/10000", 403),
        ("reader", "/100", 403),
        ("last", "/9223372036854775806", 403),
        ("last", "/9223372036854775807", 200),
        ("last", "/9223372036854775808", 400),
        ("last", "/18446744073709551615", 400),
        ("last", "/-1", 400),
    ],
)
def test_a_range_of_ids_includes_its_ends_and_no_more(site: Site, user: str, path: str, status: int) -> None:
    found = site.ask(user, "GET", path).status
    assert found == status or (status == 400 and found == 403)  # a name that is no id is in no range


def check_that_nothing_is_told(
    site: Site, user: str | None, verbs: tuple[str, ...], there: str, absent: str, *headers: str
) -> None:
    """Fail if *user* can tell by an answer which of two files is stored."""
    for verb in verbs:
        answer = ask(site, user, verb, there, *headers)
        assert answer.status in (403, 401, 400), verb
        assert answer.lasting == ask(site, user, verb, absent, *headers).lasting, verb


# Whose permissions leave what to be guessed: a file that is there and one that is not.
GUESSES = pytest.mark.parametrize(
    ("user", "verbs", "there", "absent"),
    [
        (NOBODY, VERBS, "/5", "/6"),
        ("reader", VERBS, "/5", "/6"),
        ("writer", VERBS, "/5", "/6"),
        ("writer", ("GET", "HEAD", "POST", "PATCH", "DELETE"), "/1000", "/1500"),
        ("replacer", ("GET", "HEAD", "POST", "PATCH", "DELETE"), "/1000", "/1500"),
        ("stager", VERBS, "/5", "/6"),
        ("stager", ("GET", "HEAD", "PUT", "PATCH", "DELETE"), "/1000", "/1500"),
        ("deleter", ("GET", "HEAD", "PUT", "POST", "PATCH"), "/1000", "/1500"),
        ("mover", ("GET", "HEAD", "PUT", "POST", "DELETE"), "/1000", "/1500"),
        ("looker", VERBS, "/5", "/6"),
        ("looker", ("GET", "PUT", "POST", "PATCH", "DELETE"), "/1000", "/1500"),
        (None, VERBS, "/5", "/6"),
    ],
)


@GUESSES
def test_whether_a_file_is_there_is_not_told(
    site: Site, user: str | None, verbs: tuple[str, ...], there: str, absent: str
) -> None:
    check_that_nothing_is_told(site, user, verbs, there, absent)


# Headers are weighed by the application, which is the same in both servers.
@pytest.mark.parametrize("site", ["launcher"], indirect=True)
@GUESSES
@pytest.mark.parametrize(
    "headers",
    [
        ("If-Match: *",),
        ('If-Match: "another"',),
        ("If-None-Match: *",),
        ("If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT",),
        ("If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",),
        ("Range: bytes=0-3",),
        ("Range: bytes=0-1,3-4", 'If-Range: "another"'),
        ("Range: bytes=999999-",),
        ("Want-Repr-Digest: sha-256=1", "Want-Digest: SHA-256"),
        ("Repr-Digest: sha-256=:AAAA:",),
        ("Last-Modified: nonsense",),
        ("Content-Range: bytes 0-2/3",),
    ],
    ids=" ".join,
)
def test_no_header_makes_it_told(
    site: Site, user: str | None, verbs: tuple[str, ...], there: str, absent: str, headers: tuple[str, ...]
) -> None:
    check_that_nothing_is_told(site, user, verbs, there, absent, *headers)


@pytest.mark.parametrize("query", ["byte_range=0-3", "byte_range=9-4", "byte_range=x", "a=1", "%ff"])
def test_a_query_tells_nothing_of_a_file(site: Site, query: str) -> None:
    answers = [site.ask("reader", "GET", f"/{file_id}?{query}") for file_id in "56"]
    assert {answer.status for answer in answers} <= {400, 403}
    assert answers[0].lasting == answers[1].lasting


@pytest.mark.parametrize("method", ["get", "Get", "BREW", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "MKCOL", "COPY"])
def test_other_methods_tell_nothing_of_a_file(site: Site, method: str) -> None:
    answers = [site.ask(user, method, path) for user in (NOBODY, "reader") for path in ("/5", "/6")]
    assert {answer.status for answer in answers} <= {200, 400, 403, 405, 501}
    assert len({answer.lasting for answer in answers}) == 1
    assert SECRET not in answers[0].body


def test_conditions_do_not_let_a_writer_guess_what_is_stored(site: Site) -> None:
    head = site.ask("admin", "GET", "/1000").head.decode()
    (etag,) = [line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("etag: ")]
    guesses = [f"If-Match: {etag}", 'If-Match: "another"', f"If-None-Match: {etag}", 'If-None-Match: "another"']
    dates = [f"If-Unmodified-Since: Sat, 01 Jan {year} 00:00:00 GMT" for year in (2000, 2022)]
    answers = [site.ask("writer", "PUT", "/1000", [condition], b"new") for condition in (*guesses, *dates)]
    assert {answer.status for answer in answers} == {403}
    assert len({answer.lasting for answer in answers}) == 1


def test_who_may_write_new_files_only_does_not_replace_one(site: Site) -> None:
    assert site.ask("writer", "PUT", "/1000", (), b"new").status == 403
    # So that a client whose answer was lost can repeat the request: it has had these bytes.
    assert site.ask("writer", "PUT", "/1000", (), SECRET).status == 201


def test_a_refusal_comes_before_the_body(site: Site) -> None:
    for user, path in ((NOBODY, "/6"), ("reader", "/1000"), ("writer", "/2001")):
        lines = [f"PUT {path} HTTP/1.1", "Host: archive", site.bearer(user), "Content-Length: 100000"]
        with site.connected() as connection:
            connection.sendall("\r\n".join([*lines, "Expect: 100-continue", "Connection: close", "", ""]).encode())
            assert answer_on(connection).status == 403  # and not 100


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_headers_do_not_change_the_method(site: Site, header: str) -> None:
    assert site.ask("deleter", "GET", "/1000", [f"{header}: DELETE"]).status == 403
    assert site.ask("reader", "GET", "/1000?_method=DELETE", [f"{header}: DELETE"]).body == SECRET
    assert site.ask("reader", "POST", "/1000", [f"{header}: GET"]).status == 403


@pytest.mark.parametrize(
    "header", ["X-Original-URL", "X-Rewrite-URL", "X-Accel-Redirect", "X-Forwarded-Path", "X-Forwarded-Prefix"]
)
def test_headers_do_not_change_the_path(site: Site, header: str) -> None:
    assert site.ask("reader", "GET", "/1500", [f"{header}: /5"]).status == 404


@pytest.mark.parametrize(
    "header",
    [
        *("X-Remote-User: admin", "X_Remote_User: admin", "Remote-User: admin", "Remote_User: admin"),
        *("X-Forwarded-User: admin", "SSL-Client-Verify: SUCCESS", "Auth-Type: Basic"),
    ],
)
def test_headers_do_not_say_who_the_client_is(site: Site, header: str) -> None:
    assert site.ask(None, "GET", "/5", [header]).status == 401
    assert site.ask(NOBODY, "GET", "/5", [header]).status == 403


@pytest.mark.parametrize("form", ["{}/{}", "{}/./{}", "{}//{}", "{}/x/../{}", "{}/../archive/{}", "{}/{}/", "{}/{}\0"])
def test_a_file_out_of_reach_cannot_be_moved_into_reach(site: Site, form: str) -> None:
    bodies = [json.dumps({"path": form.format(site.prefix, site.path_of(file_id))}).encode() for file_id in ("5", "6")]
    there, absent = (site.ask("mover", "PATCH", "/1500", JSON, body) for body in bodies)
    assert there.status in (400, 403)
    assert there.lasting == absent.lasting


def test_moving_over_a_file_needs_the_permission_to_replace(site: Site) -> None:
    body = json.dumps({"path": f"{site.prefix}/{site.path_of('1999')}"}).encode()
    assert site.ask("mover", "PATCH", "/1000", JSON, body).status == 403


def test_the_tape_api_asks_for_each_file(site: Site) -> None:
    paths = ["/1000", "/5", "/6", "//5", "/1000/../5"]
    body = json.dumps({"files": [{"path": path} for path in paths]}).encode()
    accepted = site.ask("stager", "POST", "/api/v1/stage", JSON, body)
    assert accepted.status == 201
    request = json.loads(accepted.body)["requestId"]
    files = {
        file["path"]: file for file in json.loads(site.ask("stager", "GET", f"/api/v1/stage/{request}").body)["files"]
    }
    assert "error" not in files["/1000"]
    assert files["/5"]["state"] == "FAILED"
    for path in ("/6", "//5"):
        assert {**files[path], "path": ""} == {**files["/5"], "path": ""}


def test_localities_are_told_of_files_within_reach_only(site: Site) -> None:
    body = json.dumps({"paths": ["/1000", "/5", "/6", "//5"]}).encode()
    told = json.loads(site.ask("stager", "POST", "/api/v1/archiveinfo", JSON, body).body)
    localities = {file.pop("path"): file for file in told}
    assert "locality" in localities["/1000"]
    assert "locality" not in localities["/5"]
    assert localities["/5"] == localities["/6"] == localities["//5"]
    assert b"locality" not in site.ask(NOBODY, "POST", "/api/v1/archiveinfo", JSON, body).body


def test_requests_of_others_are_as_if_there_were_none(site: Site) -> None:
    body = json.dumps({"files": [{"path": "/1000"}]}).encode()
    request = json.loads(site.ask("stager", "POST", "/api/v1/stage", JSON, body).body)["requestId"]
    paths = json.dumps({"paths": ["/1000"]}).encode()
    unknown = request[:-4] + ("0000" if request[-4:] != "0000" else "1111")
    for user in ("rival", "reader", NOBODY, None):
        for method, form, content in (
            ("GET", "/api/v1/stage/{}", None),
            ("HEAD", "/api/v1/stage/{}", None),
            ("DELETE", "/api/v1/stage/{}", None),
            ("POST", "/api/v1/stage/{}/cancel", paths),
        ):
            theirs, none = (site.ask(user, method, form.format(one), JSON, content) for one in (request, unknown))
            assert theirs.status in (401, 403, 404), (user, method)
            assert theirs.lasting == none.lasting, (user, method)
    assert site.ask("stager", "GET", f"/api/v1/stage/{request}").status == 200


@pytest.mark.parametrize(
    "credentials",
    [
        basic("bob", "wrong"),
        basic("bob", ""),
        basic("", PASSWORD),
        basic("Bob", PASSWORD),
        basic("bob ", PASSWORD),
        basic("bob\0", PASSWORD),
        basic("bob", f"{PASSWORD}\0"),
        basic("bob", f"{PASSWORD}:"),
        basic("bob", f"{PASSWORD}\n"),
        basic("bob", PASSWORD + "x" * 80),
        basic("admin", PASSWORD),
        basic("nobody-knows", PASSWORD),
        f"Basic {base64.b64encode(b'bob').decode()}",
        f"Basic {base64.b64encode(b'bob:' + bytes([0xFF, 0xFE])).decode()}",
        f"Basic {base64.b64encode(bytes([0xFF]) + b':x').decode()}",
        "Basic",
        "Basic ",
        "Basic !!!!",
        f"{basic('bob', PASSWORD)}!",
        f"Basic bob:{PASSWORD}",
        "Bearer",
        "Bearer pai_",
        f"Bearer pai_000000000000_{'A' * 43}",
        "Digest username=bob",
        "Negotiate AAAA",
        "\x7f",
        "x" * 6000,
    ],
)
def test_wrong_credentials_are_told_so(site: Site, credentials: str) -> None:
    answer = site.ask(None, "GET", "/5", [f"Authorization: {credentials}"])
    assert answer.status in (400, 401)
    assert answer.status == 400 or b"\r\nwww-authenticate: " in answer.head.lower()
    assert SECRET not in answer.body


def test_the_right_password_is_the_only_one(site: Site) -> None:
    assert site.ask(None, "GET", "/5", [f"Authorization: {basic('bob', PASSWORD)}"]).body == SECRET
    assert site.ask(None, "GET", "/1000", [f"Authorization: {basic('bob', PASSWORD)}"]).status == 403


@pytest.mark.parametrize("spoil", [str.upper, str.swapcase, lambda text: text[:-1], lambda text: f"{text}A"])
def test_a_token_that_is_nearly_right_is_wrong(site: Site, spoil: object) -> None:
    assert callable(spoil)
    assert site.ask(None, "GET", "/1000", [f"Authorization: Bearer {spoil(site.tokens['reader'])}"]).status == 401


@pytest.mark.parametrize("users", [(NOBODY, "admin"), ("admin", NOBODY), ("admin", "admin")])
def test_credentials_that_are_sent_twice_are_not_chosen_from(site: Site, users: tuple[str, str]) -> None:
    first, second = (site.bearer(user) for user in users)
    for lines in ([first, second], [f"{first}, {second.partition(': ')[2]}"], [f"{first} {site.tokens[users[1]]}"]):
        assert site.ask(None, "GET", "/5", lines).status in (400, 401), lines


def test_a_token_counts_in_its_header_only(site: Site) -> None:
    token = site.tokens["admin"]
    form = ("Content-Type: application/x-www-form-urlencoded",)
    assert site.ask(None, "GET", f"/5?access_token={token}").status == 401
    assert site.ask(NOBODY, "GET", f"/5?access_token={token}").status == 403
    assert site.ask(None, "POST", "/5", form, f"access_token={token}".encode()).status == 401
    for header in (f"Cookie: access_token={token}", f"X-Api-Key: {token}", f"Proxy-Authorization: Bearer {token}"):
        assert site.ask(None, "GET", "/5", [header]).status == 401


def test_credentials_count_for_one_request_of_a_connection(site: Site) -> None:
    lines = ["GET {} HTTP/1.1", "Host: archive"]
    requests = [[*lines, site.bearer("admin")], lines, [*lines, site.bearer(NOBODY)], [*lines, "Connection: close"]]
    with site.connected() as connection:
        connection.sendall("".join("\r\n".join([*one, "", ""]).format("/5") for one in requests).encode())
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert received.count(SECRET) == 1
    # uWSGI closes the connection after the first answer.
    assert re.findall(rb"HTTP/1.1 (\d+)", received) in ([b"200", b"401", b"403", b"401"], [b"200"])


def test_guesses_at_passwords_are_refused_however_many_come_at_a_time(site: Site) -> None:
    def guess(number: int) -> int:
        return site.ask(None, "GET", "/5", [f"Authorization: {basic('bob', f'guess {number}')}"]).status

    with ThreadPoolExecutor(24) as pool:
        statuses = pool.map(guess, range(72))
        assert site.ask("reader", "GET", "/1000").body == SECRET  # others are served meanwhile
        assert set(statuses) <= {401, 429}


def test_neither_logs_nor_answers_have_secrets(site: Site) -> None:
    token, wrong = site.tokens["admin"], "a wrong password"
    sent = [
        site.bearer("admin"),
        f"Authorization: Bearer {token}x",
        f"Authorization: token {token}",
        f"Authorization: {token}",
        f"Authorization: {basic('bob', PASSWORD)}",
        f"Authorization: {basic('bob', wrong)}",
        f"Authorization: Basic bob:{wrong}",
    ]
    answers = [site.ask(None, verb, path, [line]) for line in sent for verb in ("GET", "BREW") for path in ("/5", "/6")]
    answers += [
        site.ask(None, "GET", f"/5?access_token={token}"),
        site.send(f"GET /5 HTTP/2.0\r\nHost: archive\r\n{sent[0]}\r\n\r\n".encode()),
    ]
    site.server.await_line("access_token=")
    audited = b"".join(path.read_bytes() for path in (site.home / "audit").iterdir() if path.is_file())
    assert b"denied" in audited
    told = (
        site.server.stderr.encode()
        + audited
        + b"".join(answer.head + answer.body for answer in answers if answer.body != SECRET)
    )
    encoded = [line.rpartition(" ")[2] for line in sent[4:6]]
    for secret in (token, token[-43:], PASSWORD, wrong, *encoded):
        assert secret.encode() not in told
