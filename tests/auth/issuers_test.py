"""Signed tokens of issuers: which are accepted, what they grant, and how keys are fetched, kept and renewed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from pacifica.archiveinterface.auth.issuers.sections import read_issuers
from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.auth.outside import outside_methods
from pacifica.archiveinterface.auth.permissions import Permission
from pacifica.archiveinterface.exception import ConfigurationError
from tests.auth.attacks import ATTACKS
from tests.auth.site import OURS, MakeSite, Site, running_issuer
from tests.support.issuer import SECRET, Issuer, public_jwk, rsa_key


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer whose key set has keys that must not be used, too."""
    with running_issuer() as issuer:
        issuer.keys["short"] = rsa_key("short", 1024)
        known = issuer.keys["rsa"]
        issuer.further = [
            SECRET,
            public_jwk(known, kid="enc", use="enc"),
            {**RSAAlgorithm.to_jwk(known, as_dict=True), "kid": "leaked"},
            public_jwk(rsa_key("another"), kid="another"),
            {"kty": "RSA", "kid": "broken", "n": 7},
            {"kty": "EC", "kid": "odd", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "unknown"},
        ]
        yield issuer


@pytest.fixture(scope="module")
def site(lasting_sites: MakeSite, issuer: Issuer) -> Site:
    """A site that accepts RS256 and ES256 of the issuer."""
    return lasting_sites(issuer)


@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_a_good_token_is_accepted(site: Site, issuer: Issuer, kid: str) -> None:
    assert site.read(issuer.token(kid)).status_code == 200


@pytest.mark.parametrize(
    "aud", [OURS, [OURS], ["https://other.example.org", OURS], [OURS, "https://wlcg.cern.ch/jwt/v1/any"]]
)
def test_an_audience_of_the_site_is_enough(site: Site, issuer: Issuer, aud: object) -> None:
    assert site.read(issuer.token(aud=aud)).status_code == 200


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_wrong_token_is_refused(site: Site, issuer: Issuer, attack: str) -> None:
    token = ATTACKS[attack](issuer)
    answer = site.read(token)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="archive", error="invalid_token"'
    assert not [part for part in token.split(".") if len(part) > 8 and part in answer.text]
    assert public_jwk(issuer.keys["rsa"])["n"] not in answer.text
    assert site.read(issuer.token()).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_in_any_case(site: Site, issuer: Issuer, scheme: str) -> None:
    assert site.read(f"{issuer.token()}", scheme=scheme).status_code == 200


@pytest.mark.parametrize("everybody", ["https://wlcg.cern.ch/jwt/v1/any", "ANY"])
def test_the_audience_of_everybody_holds_where_it_is_configured(
    sites: MakeSite, issuer: Issuer, everybody: str
) -> None:
    site = sites(issuer, audience=f"{OURS} {everybody}")
    assert site.read(issuer.token(aud=everybody)).status_code == 200
    assert site.read(issuer.token()).status_code == 200


def test_an_algorithm_holds_where_it_is_configured(sites: MakeSite, issuer: Issuer) -> None:
    site = sites(issuer, algorithms="EdDSA PS256")
    assert site.read(issuer.token("ed")).status_code == 200
    assert site.read(issuer.token("rsa", "PS256")).status_code == 200
    assert site.read(issuer.token("rsa")).status_code == 401


def test_the_leeway_is_that_of_the_section(sites: MakeSite, issuer: Issuer) -> None:
    late = {"exp": issuer.claims()["iat"] - 300}
    assert sites(issuer, leeway="600").read(issuer.token(**late)).status_code == 200
    assert sites(issuer, leeway="30").read(issuer.token(**late)).status_code == 401


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
    sites: MakeSite, issuer: Issuer, section: dict[str, str], claims: dict[str, Any], allowed: set[str]
) -> None:
    site, token = sites(issuer, **{"claims": "", **section}), issuer.token(**claims)
    assert {
        f"{permission.value} {file_id}"
        for permission in set(Permission) - {Permission.STAT}
        for file_id in ("7", "8")
        if site.allows(token, permission, file_id)
    } == allowed


def test_the_permissions_file_is_for_tokens_that_ask_for_nothing(sites: MakeSite, issuer: Issuer) -> None:
    site = sites(
        issuer, f"jwt:{issuer.url}#alice = read 8\nalice = read 7\ndefault = poll 9\n", claims="groups a: read 7"
    )

    def readable(**claims: Any) -> list[str]:
        return [file_id for file_id in ("7", "8") if site.allows(issuer.token(**claims), Permission.READ, file_id)]

    assert readable() == readable(scope="openid profile") == ["8"]
    assert readable(groups=["a"]) == ["7"]
    assert readable(scope="storage.read:/7") == ["7"]
    assert readable(scope="storage.read:/%38") == readable(scope="storage.create:/8") == []
    assert readable(sub="bob") == []
    assert site.allows(issuer.token(sub="bob"), Permission.POLL, "9")
    assert not site.allows(issuer.token(sub="bob", scope="storage.poll:/1"), Permission.POLL, "9")


def test_no_scope_and_no_claim_makes_an_administrator_of_a_section_without_admin(
    sites: MakeSite, issuer: Issuer
) -> None:
    claims = "sub alice: admin"
    assert not sites(issuer, claims=claims).allows(issuer.token(), Permission.ADMIN, None)
    assert sites(issuer, claims=claims, permissions="admin").allows(issuer.token(), Permission.ADMIN, None)


def test_a_change_of_the_file_holds_at_once(sites: MakeSite, issuer: Issuer) -> None:
    site = sites(issuer)
    issuers_file = Path(site.options.issuers_file)
    assert site.read(issuer.token()).status_code == 200
    issuers_file.write_text(issuers_file.read_text().replace(OURS, "https://other.example.org"))
    assert site.read(issuer.token()).status_code == 401
    issuers_file.write_text("[broken")
    assert site.read(issuer.token(aud="https://other.example.org")).status_code == 200


GOOD = "[https://a.example]\naudience = b\npermissions = read\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "of an issuer"),
        ("[https://a.example]\npermissions = read\n", "audience is not set"),
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


def test_the_file_that_the_page_shows_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "users.md").read_text()
    shown = next(block for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if "[https://" in block)
    (tmp_path / "issuers.ini").write_text(shown)
    issuers = read_issuers(str(tmp_path / "issuers.ini"))
    assert len(issuers) == 3
    assert sum(len(issuer.claims) for issuer in issuers.values()) == 3
