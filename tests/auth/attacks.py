"""Tokens that must not be accepted, by what is wrong with them. All but the last have a right signature."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.issuer import Issuer, public_jwk, rsa_key


def encoded(part: bytes | Mapping[str, Any]) -> str:
    """Return a part of a token, base64url-encoded."""
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def crafted(issuer: Issuer, payload: bytes | Mapping[str, Any], header: bytes | Mapping[str, Any] = b"") -> str:
    """Return a token with *header* and *payload* as they are, signed with the issuer's RSA key."""
    signed = f"{encoded(header or {'alg': 'RS256', 'kid': 'rsa'})}.{encoded(payload)}"
    return f"{signed}.{encoded(issuer.keys['rsa'].sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _claims(**changes: Any) -> Callable[[Issuer], str]:
    return lambda issuer: issuer.token(**changes)


def _header(**members: Any) -> Callable[[Issuer], str]:
    return lambda issuer: crafted(issuer, issuer.claims(), {"alg": "RS256", "kid": "rsa", **members})


def _payload(change: Callable[[bytes], bytes]) -> Callable[[Issuer], str]:
    return lambda issuer: crafted(issuer, change(json.dumps(issuer.claims()).encode()))


def _claim_as(name: str, text: bytes) -> Callable[[Issuer], str]:
    """Return the attack whose claim *name* is the JSON *text*."""
    return lambda issuer: crafted(
        issuer, json.dumps(issuer.claims(**{name: None})).encode()[:-1] + b', "%b": %b}' % (name.encode(), text)
    )


def _mac(secret: Callable[[Issuer], bytes], kid: str = "rsa") -> Callable[[Issuer], str]:
    """Return the attack that is signed with HS256 and what the issuer tells everybody."""

    def make(issuer: Issuer) -> str:
        signed = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{encoded(issuer.claims())}"
        return f"{signed}.{encoded(hmac.digest(secret(issuer), signed.encode(), hashlib.sha256))}"

    return make


def _pem(issuer: Issuer) -> bytes:
    public: bytes = issuer.keys["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public


def _none(name: str) -> Callable[[Issuer], str]:
    return lambda issuer: f"{encoded({'alg': name, 'kid': 'rsa'})}.{encoded(issuer.claims())}."


def _stranger() -> RSAPrivateKey:
    return rsa_key("stranger")


def _signed_by_stranger(**header: Any) -> Callable[[Issuer], str]:
    return lambda issuer: jwt.encode(issuer.claims(), _stranger(), "RS256", {"kid": "rsa", **header})


def _edited(issuer: Issuer) -> str:
    header, _, signature = issuer.token().split(".")
    return f"{header}.{encoded(issuer.claims(sub='root'))}.{signature}"


def _psychic(issuer: Issuer) -> str:
    return f"{encoded({'alg': 'ES256', 'kid': 'ec'})}.{encoded(issuer.claims())}.{encoded(bytes(64))}"


NOW = int(time.time())
ATTACKS: dict[str, Callable[[Issuer], str]] = {
    "no algorithm": _none("none"),
    "no algorithm, in another case": _none("nOnE"),
    "an empty algorithm": _none(""),
    "the public key as a secret (PEM)": _mac(_pem),
    "the modulus as a secret": _mac(lambda issuer: public_jwk(issuer.keys["rsa"])["n"].encode()),
    "an empty secret": _mac(lambda _: b""),
    "a secret that the key set tells": _mac(lambda _: b"0123456789abcdef", "oct"),
    "an algorithm that is not allowed": lambda issuer: issuer.token("rsa", "PS256"),
    "a kind of key that is not allowed": lambda issuer: issuer.token("ed"),
    "the key of another algorithm": _header(kid="ec"),
    "a key for encryption": _header(kid="enc"),
    "a key whose private half is public": _header(kid="leaked"),
    "a short key": lambda issuer: issuer.token("short"),
    "no kid, and several keys": lambda issuer: crafted(issuer, issuer.claims(), {"alg": "RS256"}),
    "kid that is null": _header(kid=None),
    "another audience": _claims(aud="https://other.example.org"),
    "the audience as a part of another": _claims(aud="https://archive.example.org.evil.example"),
    "audiences of which none is ours": _claims(aud=["a", "b"]),
    "no audience in the list": _claims(aud=[]),
    "WLCG's audience of everybody": _claims(aud="https://wlcg.cern.ch/jwt/v1/any"),
    "SciTokens' audience of everybody": _claims(aud="ANY"),
    "an audience that is not a text": _claim_as("aud", b"7"),
    "an audience that is an object": _claim_as("aud", b'{"https://archive.example.org": 1}'),
    "another issuer": _claims(iss="https://issuer.example.org"),
    "an issuer with a slash more": lambda issuer: issuer.token(iss=f"{issuer.url}/"),
    "a list of issuers": lambda issuer: crafted(issuer, issuer.claims(iss=[issuer.url])),
    "expired": _claims(exp=NOW - 3600),
    "not valid yet": _claims(nbf=NOW + 3600),
    "issued in the future": _claims(iat=NOW + 3600),
    **{f"without {name}": _claims(**{name: None}) for name in ("exp", "iss", "sub", "aud")},
    **{
        f"exp = {text!r}": _claim_as("exp", text)
        for text in (
            b'"soon"',
            b'"4102444800"',
            b"true",
            b"null",
            b"[]",
            b"{}",
            b"1e999",
            b"-1e999",
            b"NaN",
            b"Infinity",
        )
    },
    "a constant that JSON does not have": _claim_as("x", b"NaN"),
    "nbf that is not a number": _claim_as("nbf", b'"0"'),
    "iat that is not a number": _claim_as("iat", b"{}"),
    "a subject that is a number": _claim_as("sub", b"0"),
    "an empty subject": _claims(sub=""),
    "a subject of two lines": _claims(sub="alice\nroot"),
    "a long subject": _claims(sub="a" * 256),
    "scope that is an object": _claims(scope={"storage.read:/": 1}),
    "a claim twice": _payload(lambda text: text[:-1] + b', "sub": "root"}'),
    "the audience twice": _payload(lambda text: b'{"aud": "https://archive.example.org", ' + text[1:]),
    "a member of a claim twice": _payload(lambda text: text[:-1] + b', "x": {"a": 1, "a": 2}}'),
    "a header member twice": lambda issuer: crafted(
        issuer, issuer.claims(), b'{"alg": "none", "kid": "rsa", "alg": "RS256"}'
    ),
    "claims that are a list": _payload(lambda text: b"[" + text + b"]"),
    "claims that are not JSON": _payload(lambda text: text[:-1]),
    "claims with something behind": _payload(lambda text: text + b"{}"),
    "claims that are not UTF-8": _payload(lambda text: text.replace(b"alice", b"\xff")),
    "claims that nest without an end": _payload(lambda text: text[:-1] + b', "x": ' + b"[" * 11_000 + b"}"),
    "a header that is a list": lambda issuer: crafted(issuer, issuer.claims(), b"[]"),
    "a header without alg": lambda issuer: crafted(issuer, issuer.claims(), {"kid": "rsa"}),
    "alg that is a list": _header(alg=["RS256"]),
    "a critical extension": _header(crit=["exp"], exp=NOW + 600),
    "no critical extension, in an empty list": _header(crit=[]),
    "an unencoded payload": _header(b64=False, crit=["b64"]),
    "an unencoded payload, not said to be critical": _header(b64=False),
    "a compressed payload": _header(zip="DEF"),
    "a nested token": lambda issuer: crafted(
        issuer, issuer.token().encode(), {"alg": "RS256", "kid": "rsa", "cty": "JWT"}
    ),
    "a nested token, not said to be one": lambda issuer: crafted(issuer, issuer.token().encode()),
    "claims that are said to be a token": _header(cty="jwt"),
    **{
        f"kid = {kid!r:.30}": _header(kid=kid)
        for kid in (
            "../../../../dev/null",
            "/etc/passwd",
            "x' UNION SELECT 'key",
            "rsa\x00",
            "RSA",
            "",
            "https://evil.example/keys",
            "k" * 8000,
            7,
            ["rsa"],
            {"kid": "rsa"},
            True,
        )
    },
    "five parts": lambda issuer: f"{issuer.token()}.x.y",
    "four parts": lambda issuer: f"{issuer.token()}.x",
    "two parts": lambda issuer: issuer.token().rpartition(".")[0],
    "dots alone": lambda _: "..",
    "padding": lambda issuer: f"{issuer.token()}=",
    "base64 that is not base64url": lambda issuer: issuer.token(x="???>>>").replace("_", "/").replace("-", "+"),
    "something behind": lambda issuer: f"{issuer.token()} x",
    "too long": _claims(x="x" * 17_000),
    # What is signed by somebody else, or by nobody.
    "another key": _signed_by_stranger(),
    "another key that the header brings": lambda issuer: _signed_by_stranger(jwk=public_jwk(_stranger()))(issuer),
    "another key that the header points at": _signed_by_stranger(
        jku="https://evil.example/keys", x5u="https://evil.example"
    ),
    "a certificate in the header": _signed_by_stranger(x5c=["MIIB"]),
    "another subject": _edited,
    "no signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "a signature of zeros": _psychic,
}
