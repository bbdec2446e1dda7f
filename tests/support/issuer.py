"""An issuer of tokens on the loopback interface: keys of its own, discovery, and all that can go wrong with them."""

import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.waiting import TIMEOUT

Answer = Callable[[BaseHTTPRequestHandler], None]
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"
SECRET = {"kty": "oct", "kid": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZg", "alg": "HS256"}
"""A key for algorithms with a shared secret, which no key set should have."""
_AT_ONCE = threading.Event()
_AT_ONCE.set()


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the key *name* of this process: making one takes longer than most tests."""
    return rsa.generate_private_key(65537, bits)


def public_jwk(key: Any, **members: str) -> dict[str, Any]:
    """Return the public half of *key* as a JWK with *members*."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        jwk = RSAAlgorithm.to_jwk(public)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        jwk = ECAlgorithm.to_jwk(public)
    else:
        jwk = OKPAlgorithm.to_jwk(public)
    return {**json.loads(jwk), **members}


class Issuer:
    """Signs tokens, and tells its keys to those who ask; can be slow, be stopped, and get new keys."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """Answer on the loopback interface, with TLS if there is a *context*."""
        self._context = context
        self.keys: dict[str, Any] = {
            "rsa": rsa_key("rsa"),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, Answer] = {}
        self.further: list[Mapping[str, Any]] = []
        """Further keys of the key set, as they are."""
        self.may_answer = _AT_ONCE
        self._port = 0
        self.start()
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Answer, on the same port as before."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer._answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        if self._context:
            self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()

    def stop(self) -> None:
        """Be gone: connections are refused."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def rotate(self, kid: str) -> None:
        """Sign with a new key *kid*, and forget the others."""
        self.keys = {kid: rsa_key(kid)}

    def key_set(self) -> dict[str, Any]:
        """Return the public keys as a JWK Set."""
        own = [public_jwk(key, kid=kid, use="sig") for kid, key in self.keys.items()]
        return {"keys": [*own, *self.further]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token with *changes*; a claim that is None is left out."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": "alice", "aud": "https://archive.example.org", "iat": now, "exp": now + 600}
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, kid: str = "", algorithm: str = "", header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """Return a token with the claims and *changes* of them, signed with the key *kid*."""
        kid = kid or next(iter(self.keys))
        algorithm = algorithm or {"ec": "ES256", "ed": "EdDSA"}.get(kid, "RS256")
        given = {"kid": kid, **(header or {})}
        return jwt.encode(self.claims(**changes), self.keys[kid], algorithm, given)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        self.asked[path] += 1
        self.may_answer.wait(TIMEOUT)
        if path in self.answers:
            self.answers[path](request)
        elif path == DISCOVERY:
            answer_json(request, {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"})
        elif path == KEYS:
            answer_json(request, self.key_set())
        else:
            request.send_error(404)


def answer_json(
    request: BaseHTTPRequestHandler, content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> None:
    """Answer *request* with *content*, in whose texts ``{url}`` is the issuer's own URL."""
    url = f"http://127.0.0.1:{request.connection.getsockname()[1]}"
    body = json.dumps(content).replace("{url}", url).encode()
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)
