"""Signed tokens of issuers: which are accepted, what they grant, and how keys are fetched, kept and renewed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.auth.outside import outside_methods
from pacifica.archiveinterface.auth.permissions import Permission
from pacifica.archiveinterface.exception import ConfigurationError
from tests.auth.attacks import ATTACKS
from tests.auth.site import Site
from tests.support.issuer import DISCOVERY, KEYS, Answer, Issuer, answer_json, public_jwk, rsa_key
from tests.support.waiting import await_true

OURS = "https://archive.example.org"
SECRET = {"kty": "oct", "kid": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZg", "alg": "HS256"}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Site]:
    """Makes sites that accept the tokens of an issuer, with options of its section."""

    def make(issuer: Issuer, **options: str) -> Site:
        given = {"audience": OURS, "permissions": "read", "claims": "sub alice: read", **options}
        lines = "".join(f"{name} = {value}\n" for name, value in given.items())
        path = tmp_path_factory.mktemp("site") / "issuers.ini"
        path.write_text(f"[{issuer.url}]\n{lines}")
        return Site(AuthOptions(issuers_file=str(path)))

    return make


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    try:
        yield issuer
    finally:
        issuer.may_answer.set()
        issuer.stop()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer whose key set has keys that must not be used, too."""
    with running_issuer() as issuer:
        known = issuer.keys["rsa"]
        issuer.further = [
            SECRET,
            public_jwk(known, kid="enc", use="enc"),
            {**public_jwk(known, kid="leaked"), "d": "AQAB"},
            public_jwk(rsa_key(1024), kid="short"),
            public_jwk(rsa_key(), kid="another"),
            {"kty": "RSA", "kid": "broken", "n": 7},
            {"kty": "EC", "kid": "odd", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "unknown"},
        ]
        yield issuer


@pytest.fixture(scope="module")
def site(sites: Callable[..., Site], issuer: Issuer) -> Site:
    """A site that accepts RS256 and ES256 of the issuer."""
    return sites(issuer)


@pytest.fixture
def own_issuer() -> Iterator[Issuer]:
    """An issuer that a test may stop, slow or give new keys."""
    with running_issuer() as issuer:
        yield issuer


@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_a_good_token_is_accepted(site: Site, issuer: Issuer, kid: str) -> None:
    assert site.read(issuer.token(kid)).status == 200


@pytest.mark.parametrize(
    "aud", [OURS, [OURS], ["https://other.example.org", OURS], [OURS, "https://wlcg.cern.ch/jwt/v1/any"]]
)
def test_an_audience_of_the_site_is_enough(site: Site, issuer: Issuer, aud: object) -> None:
    assert site.read(issuer.token(aud=aud)).status == 200


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_wrong_token_is_refused(site: Site, issuer: Issuer, attack: str) -> None:
    token = ATTACKS[attack](issuer)
    answer = site.read(token)
    assert answer.status == 401
    assert answer.challenge.startswith("Bearer ")
    assert 'error="invalid_token"' in answer.challenge
    assert not [part for part in token.split(".") if len(part) > 8 and part in answer.message]
    assert public_jwk(issuer.keys["rsa"])["n"] not in answer.message
    assert site.read(issuer.token()).status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_in_any_case(site: Site, issuer: Issuer, scheme: str) -> None:
    assert site.read(f"{issuer.token()}", scheme=scheme).status == 200


@pytest.mark.parametrize("everybody", ["https://wlcg.cern.ch/jwt/v1/any", "ANY"])
def test_the_audience_of_everybody_holds_where_it_is_configured(
    sites: Callable[..., Site], issuer: Issuer, everybody: str
) -> None:
    site = sites(issuer, audience=f"{OURS} {everybody}")
    assert site.read(issuer.token(aud=everybody)).status == 200
    assert site.read(issuer.token()).status == 200


def test_an_algorithm_holds_where_it_is_configured(sites: Callable[..., Site], issuer: Issuer) -> None:
    site = sites(issuer, algorithms="EdDSA PS256")
    assert site.read(issuer.token("ed")).status == 200
    assert site.read(issuer.token("rsa", "PS256")).status == 200
    assert site.read(issuer.token("rsa")).status == 401


def test_the_leeway_is_that_of_the_section(sites: Callable[..., Site], issuer: Issuer) -> None:
    late = {"exp": issuer.claims()["iat"] - 300}
    assert sites(issuer, leeway="600").read(issuer.token(**late)).status == 200
    assert sites(issuer, leeway="30").read(issuer.token(**late)).status == 401


ALL = "read write replace stage poll delete move"


@pytest.mark.parametrize(
    ("section", "claims", "allowed"),
    [
        # A scope, limited by the section.
        ({"permissions": ALL}, {"scope": "storage.read:/7"}, {"read 7"}),
        ({"permissions": ALL}, {"scope": "storage.read:/"}, {"read 7", "read 8"}),
        ({"permissions": ALL}, {"scope": "openid storage.create:/7 profile"}, {"write 7"}),
        ({"permissions": ALL}, {"scope": "storage.stage:/8"}, {"stage 8", "poll 8"}),
        ({"permissions": ALL}, {"scope": "storage.poll:/"}, {"poll 7", "poll 8"}),
        (
            {"permissions": ALL},
            {"scope": "storage.modify:/7"},
            {f"{each} 7" for each in ALL.split()[1:3] + ALL.split()[5:]},
        ),
        ({"permissions": ALL}, {"scope": "read:/7"}, {"read 7"}),
        ({"permissions": ALL}, {"scp": ["read:/7", "read:/8"]}, {"read 7", "read 8"}),
        ({"permissions": ALL}, {"scope": "storage.read:/7", "scp": ["read:/8"]}, {"read 7"}),
        ({"permissions": "poll"}, {"scope": "storage.read:/ storage.stage:/7"}, {"poll 7"}),
        ({"permissions": ALL, "ids": "1-7"}, {"scope": "storage.read:/"}, {"read 7"}),
        ({"permissions": ALL, "ids": "1-7"}, {"scope": "storage.read:/8"}, set()),
        ({"permissions": ALL, "base_path": "/dune"}, {"scope": "storage.read:/dune/7"}, {"read 7"}),
        ({"permissions": ALL, "base_path": "/dune"}, {"scope": "storage.read:/7"}, set()),
        ({"permissions": ALL, "scopes": "wlcg"}, {"scope": "read:/"}, set()),
        # A token with storage scopes grants nothing for its groups, even if no scope is good.
        ({"claims": "groups a: read"}, {"groups": ["a"], "scope": "storage.read:/8"}, {"read 8"}),
        ({"claims": "groups a: read"}, {"groups": ["a"], "scope": "storage.read:/%37"}, set()),
        ({"claims": "groups a: read"}, {"groups": ["a"], "scope": "storage.read"}, set()),
        ({"claims": "groups a: read", "scopes": ""}, {"groups": ["a"], "scope": "read:users"}, {"read 7", "read 8"}),
        # Claims, limited by the section.
        ({"claims": "groups a: read 8"}, {"groups": ["a", "b"]}, {"read 8"}),
        ({"claims": "groups a: read 8"}, {"groups": "a"}, {"read 8"}),
        ({"claims": "groups a: read 8"}, {"groups": ["ab", "A", 7]}, set()),
        ({"claims": "groups a: read 8"}, {"groups": {"a": 1}}, set()),
        ({"claims": "groups a: read write"}, {"groups": ["a"]}, {"read 7", "read 8"}),
        ({"claims": "groups a: read", "ids": "8-"}, {"groups": ["a"]}, {"read 8"}),
        ({"claims": "scope archive.read: read 7"}, {"scope": "openid archive.read"}, {"read 7"}),
        ({"claims": "scope archive.read: read 7"}, {"scope": "archive.reader"}, set()),
        ({"claims": "wlcg.groups /dune/x y: read 7"}, {"wlcg.groups": ["/dune/x y"]}, {"read 7"}),
        ({"claims": "realm_access.roles r: read 7"}, {"realm_access": {"roles": ["r"]}}, {"read 7"}),
        ({"claims": "eduperson urn:x:y: read 7"}, {"eduperson": "urn:x:y"}, {"read 7"}),
        ({"claims": "\n  a x: read 7\n  # more\n  b y: read 8"}, {"a": "x", "b": "y"}, {"read 7", "read 8"}),
        ({"claims": ""}, {}, set()),
    ],
)
def test_a_token_grants_the_intersection_of_what_it_asks_for_and_its_section(
    sites: Callable[..., Site], issuer: Issuer, section: dict[str, str], claims: dict[str, Any], allowed: set[str]
) -> None:
    site, token = sites(issuer, **{"claims": "", **section}), issuer.token(**claims)
    assert {
        f"{permission.value} {file_id}"
        for permission in Permission
        for file_id in ("7", "8")
        if site.allows(token, permission, file_id)
    } == allowed


def test_no_scope_and_no_claim_makes_an_administrator_of_a_section_without_admin(
    sites: Callable[..., Site], issuer: Issuer
) -> None:
    claims = "sub alice: admin"
    assert not sites(issuer, claims=claims).allows(issuer.token(), Permission.ADMIN, None)
    assert sites(issuer, claims=claims, permissions="admin").allows(issuer.token(), Permission.ADMIN, None)


# Keys.


def test_keys_are_fetched_once(sites: Callable[..., Site], own_issuer: Issuer) -> None:
    site = sites(own_issuer)
    for _ in range(20):
        assert site.read(own_issuer.token()).status == 200
    assert own_issuer.asked == {DISCOVERY: 1, KEYS: 1}


def test_the_section_may_name_where_the_keys_are(sites: Callable[..., Site], own_issuer: Issuer) -> None:
    assert sites(own_issuer, jwks_uri=f"{own_issuer.url}{KEYS}").read(own_issuer.token()).status == 200
    assert own_issuer.asked == {KEYS: 1}


def test_unknown_keys_cause_one_fetch(sites: Callable[..., Site], own_issuer: Issuer) -> None:
    site = sites(own_issuer)
    assert site.read(own_issuer.token()).status == 200
    for number in range(20):
        assert site.read(own_issuer.token(header={"kid": f"unknown{number}"})).status == 401
    assert own_issuer.asked == {DISCOVERY: 2, KEYS: 2}


def test_a_new_key_is_accepted_at_once_and_the_old_one_no_longer(
    sites: Callable[..., Site], own_issuer: Issuer
) -> None:
    site, old = sites(own_issuer), own_issuer.token()
    assert site.read(old).status == 200
    own_issuer.rotate("new")
    assert site.read(own_issuer.token()).status == 200
    assert site.read(old).status == 401


def test_an_unknown_key_holds_nobody_else_up(sites: Callable[..., Site], own_issuer: Issuer) -> None:
    site = sites(own_issuer, keys_timeout="60")
    assert site.read(own_issuer.token()).status == 200
    own_issuer.may_answer = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(site.read, own_issuer.token(header={"kid": "unknown"}))
        await_true(lambda: own_issuer.asked[DISCOVERY] == 2)
        for _ in range(20):
            assert site.read(own_issuer.token()).status == 200
        assert not held.done()
        own_issuer.may_answer.set()
        assert held.result().status == 401


def test_few_requests_wait_for_a_slow_issuer(sites: Callable[..., Site], own_issuer: Issuer) -> None:
    site = sites(own_issuer, keys_timeout="60")
    own_issuer.may_answer = threading.Event()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(site.read, own_issuer.token()) for _ in range(20)]
        await_true(lambda: sum(each.done() for each in asked) == 12)
        assert {each.result().status for each in asked if each.done()} == {503}
        own_issuer.may_answer.set()
        assert sorted(each.result().status for each in asked) == [200] * 8 + [503] * 12
    assert own_issuer.asked == {DISCOVERY: 1, KEYS: 1}


def test_keys_are_renewed_in_the_background(sites: Callable[..., Site], own_issuer: Issuer) -> None:
    site, old = sites(own_issuer, keys_refresh="0.1"), own_issuer.token()
    assert site.read(old).status == 200
    own_issuer.rotate("new")
    await_true(lambda: site.read(old).status == 401)


def test_the_last_keys_stay_in_use_while_the_issuer_is_down(
    sites: Callable[..., Site], own_issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    site = sites(own_issuer, keys_refresh="0.1")
    assert site.read(own_issuer.token()).status == 200
    own_issuer.stop()
    await_true(lambda: site.read(own_issuer.token()).status == 200 and "cannot be fetched" in caplog.text)
    assert site.read(own_issuer.token()).status == 200
    own_issuer.start()


def test_keys_are_not_kept_for_ever(sites: Callable[..., Site], own_issuer: Issuer) -> None:
    site = sites(own_issuer, keys_refresh="0.1", keys_kept="0.0001")
    assert site.read(own_issuer.token()).status == 200
    own_issuer.stop()
    await_true(lambda: site.read(own_issuer.token()).status == 503)
    own_issuer.start()
    await_true(lambda: site.read(own_issuer.token()).status == 200)


def _status(status: int, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()

    return answer


def _endless(block: bytes, pause: float) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):  # the service hangs up
            while True:
                request.wfile.write(block)
                threading.Event().wait(pause)

    return answer


def _content(content: object) -> Answer:
    return lambda request: answer_json(request, content)


DISCOVERED = {"issuer": "{url}", "jwks_uri": "{url}/keys"}
BAD_ANSWERS: dict[str, tuple[str, Answer]] = {
    "redirected discovery": (DISCOVERY, _status(302, Location="/moved")),
    "redirected keys": (KEYS, _status(301, Location="/moved")),
    "an error": (KEYS, _status(500)),
    "another issuer's discovery": (DISCOVERY, _content({"issuer": "https://evil.example", "jwks_uri": "{url}/keys"})),
    "discovery without keys": (DISCOVERY, _content({"issuer": "{url}"})),
    "keys without encryption": (DISCOVERY, _content({**DISCOVERED, "jwks_uri": "http://192.0.2.1/keys"})),
    "keys in a file": (DISCOVERY, _content({**DISCOVERED, "jwks_uri": "file:///etc/passwd"})),
    "a port that is no port": (DISCOVERY, _content({**DISCOVERED, "jwks_uri": "https://127.0.0.1:x/keys"})),
    "no JSON": (KEYS, _endless(b"", 0)),
    "a list": (KEYS, _content([])),
    "no keys": (KEYS, _content({"keys": []})),
    "keys that are no list": (KEYS, _content({"keys": {"kty": "RSA"}})),
    "secrets alone": (KEYS, _content({"keys": [SECRET]})),
    "more than a megabyte": (KEYS, _endless(b" " * (1 << 16), 0)),
    "a byte at a time": (KEYS, _endless(b" ", 0.05)),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_of_an_issuer_is_not_the_client_s_fault(
    sites: Callable[..., Site], own_issuer: Issuer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path, own_issuer.answers[path] = BAD_ANSWERS[name]
    site = sites(own_issuer, keys_refresh="0.1", keys_timeout="0.5")
    answer = site.read(own_issuer.token())
    assert answer.status == 503
    assert answer.retry_after
    assert own_issuer.asked["/moved"] == 0
    del own_issuer.answers[path]
    await_true(lambda: site.read(own_issuer.token()).status == 200)
    caplog.clear()
    path, own_issuer.answers[path] = BAD_ANSWERS[name]
    await_true(lambda: site.read(own_issuer.token()).status == 200 and "cannot be fetched" in caplog.text)
    assert site.read(own_issuer.token()).status == 200


# The file.


def test_a_change_of_the_file_holds_at_once(sites: Callable[..., Site], issuer: Issuer) -> None:
    site = sites(issuer)
    assert site.read(issuer.token()).status == 200
    site.issuers_file.write_text(site.issuers_file.read_text().replace(OURS, "https://other.example.org"))
    assert site.read(issuer.token()).status == 401
    site.issuers_file.write_text("[broken")
    assert site.read(issuer.token(aud="https://other.example.org")).status == 200


GOOD = "[https://a.example]\naudience = b\npermissions = read\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "of an issuer"),
        ("[https://a.example]\npermissions = read\n", "audience is not set"),
        ("[https://a.example]\naudience = b\n", "permissions is not set"),
        (GOOD + "algorithms =\n", "algorithms is not set"),
        (GOOD + "algorithms = HS256\n", "algorithms"),
        (GOOD + "algorithms = RS256 none\n", "algorithms"),
        (GOOD + "jwks_uri = http://b.example/keys\n", "https"),
        (GOOD + "jwks_uri = https://user:word@b.example/keys\n", "jwks_uri"),
        (GOOD + "jwks_uri = file:///keys\n", "jwks_uri"),
        (GOOD + "jwks_uri = https://b.example:x/keys\n", "jwks_uri"),
        (GOOD + "ids = 9-1\n", "ends before it begins"),
        (GOOD + "ids = all\n", "ids"),
        (GOOD + "permission = read\n", "no option 'permission'"),
        (GOOD.replace("= read", "= read all"), "permissions"),
        (GOOD + "base_path = pacifica\n", "base_path"),
        (GOOD + "base_path = /a/../b\n", "base_path"),
        (GOOD + "scopes = xrootd\n", "scopes"),
        (GOOD + "claims = groups a\n", "claims"),
        (GOOD + "claims = groups: read\n", "claims"),
        (GOOD + "claims = groups a:\n", "claims"),
        (GOOD + "claims = groups a: 1-9\n", "claims"),
        (GOOD + "claims = groups a: read everything\n", "claims"),
        (GOOD + "leeway = -1\n", "leeway"),
        (GOOD + "keys_timeout = 0\n", "keys_timeout"),
        (GOOD.replace("https://", "http://"), "https"),
        (GOOD.replace("https://a.example", "our issuer"), "jwks_uri"),
        (GOOD + GOOD, "begins twice"),
    ],
)
def test_a_wrong_file_is_refused_at_the_start(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "issuers.ini"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        list(outside_methods(AuthOptions(issuers_file=str(path))))
    path.write_text(GOOD)
    assert list(outside_methods(AuthOptions(issuers_file=str(path))))
