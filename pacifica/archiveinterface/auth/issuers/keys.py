"""The keys of an issuer (JWK Set, RFC 7517), kept in memory.

They are fetched anew in the background before they are too old. While the issuer does not answer, the last ones stay
in use, for hours. PyJWT's own PyJWKClient refuses every token as soon as its cache is too old and the issuer is down.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from threading import BoundedSemaphore, Event, Lock, Thread
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from ...exception import ArchiveInterfaceError, BackendUnavailableError
from ...globals import LOG_NAME
from .claims import CURVES, EDWARDS, RSA, TokenError
from .fetching import fetch_json

_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
_LEAST_RSA_BITS = 2048
_MOST_KEYS = 100
_MOST_WAITING = 8  # requests of one process that wait for one issuer
_UNKNOWN_INTERVAL = 30.0  # seconds from one fetch for a key that is not known to the next
_RETRY_INTERVAL = 30.0  # seconds, while there are keys
_FIRST_INTERVAL = 5.0  # seconds, while there are none

_log = logging.getLogger(LOG_NAME)


class Key(NamedTuple):
    """A public key, its name, and the algorithms that it is for."""

    kid: str | None
    algorithms: frozenset[str]
    public: Any


def keys_in(document: Mapping[str, Any]) -> tuple[Key, ...]:
    """Return the keys for signatures in a JWK Set; others are left out. Raises BackendUnavailableError if none is."""
    listed = document.get("keys")
    given = listed[:_MOST_KEYS] if isinstance(listed, list) else []
    keys = tuple(key for jwk in given if isinstance(jwk, dict) and (key := _key_of(jwk)))
    if not keys:
        raise BackendUnavailableError("no usable key in the key set")
    return keys


def _key_of(jwk: dict[str, Any]) -> Key | None:
    # A key that shows its private half is known to everybody.
    if "d" in jwk or jwk.get("use", "sig") != "sig" or jwk.get("kty") not in _READERS:
        return None
    if not isinstance(jwk.get("kid"), str | None) or not isinstance(jwk.get("alg"), str | None):
        return None
    try:
        public = _READERS[jwk["kty"]](jwk)
    except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    algorithms = _algorithms_of(public)
    named = jwk.get("alg")
    usable = algorithms if named is None else algorithms & {named}
    return Key(jwk.get("kid"), usable, public) if usable else None


def _algorithms_of(public: object) -> frozenset[str]:
    """Return the algorithms for a key: each is for one kind of key, so that none can be taken for another."""
    if isinstance(public, RSAPublicKey) and public.key_size >= _LEAST_RSA_BITS:
        return frozenset(RSA)
    if isinstance(public, EllipticCurvePublicKey) and public.curve.name in CURVES:
        return frozenset((CURVES[public.curve.name],))
    return frozenset((EDWARDS,)) if isinstance(public, Ed25519PublicKey) else frozenset()


def fetch_keys(issuer: str, jwks_uri: str, seconds: float) -> tuple[Key, ...]:
    """Return the keys at *jwks_uri*, or where the discovery document of *issuer* says, if that is empty.

    Raises BackendUnavailableError.
    """
    if not jwks_uri:
        document = fetch_json(f"{issuer.removesuffix('/')}/.well-known/openid-configuration", seconds)
        if document.get("issuer") != issuer:
            raise BackendUnavailableError("the discovery document is that of another issuer")
        jwks_uri = str(document.get("jwks_uri", ""))
    return keys_in(fetch_json(jwks_uri, seconds))


class _Held(NamedTuple):
    keys: tuple[Key, ...]
    since: float

    def pick(self, kid: str | None, algorithm: str) -> Key | None:
        """Return the key named *kid*; without a name, the only one for *algorithm*."""
        fitting = [key for key in self.keys if algorithm in key.algorithms and kid in (None, key.kid)]
        return fitting[0] if len(fitting) == 1 else None


class KeySet:
    """The keys of one issuer, for all threads."""

    def __init__(
        self, name: str, fetch: Callable[[], tuple[Key, ...]], refresh: float, keep: float, patience: float
    ) -> None:
        """Use what *fetch* returns, which the log calls *name*.

        After *refresh* seconds the keys are fetched again, and after *keep* seconds they are no longer used. A request
        waits *patience* seconds for keys at most. *fetch* raises ArchiveInterfaceError.
        """
        self._name, self._fetch = name, fetch
        self._refresh, self._keep, self._patience = refresh, keep, patience
        self._held = _Held((), -math.inf)
        self._lock = Lock()
        self._fetching: Event | None = None
        self._tried = self._tried_for_unknown = -math.inf
        self._places = BoundedSemaphore(_MOST_WAITING)

    def find(self, kid: str | None, algorithm: str) -> Any:
        """Return the public key named *kid* for *algorithm*. Raises TokenError, BackendUnavailableError."""
        key = self._current().pick(kid, algorithm)
        if key is None and self._wait_for(self._begin_for_unknown()):
            key = self._held.pick(kid, algorithm)
        if key is None:
            raise TokenError("the issuer of the token has no key for the kid and the alg of its header")
        return key.public

    def _current(self) -> _Held:
        held, now = self._held, time.monotonic()
        if now - held.since < self._refresh:
            return held
        is_usable = now - held.since < self._keep
        fetching = self._begin(_RETRY_INTERVAL if is_usable else _FIRST_INTERVAL)
        if not is_usable:
            self._wait_for(fetching)
            held = self._held
            if now - held.since >= self._keep:
                raise BackendUnavailableError("the issuer of the token does not give its keys now, try again later")
        return held

    def _begin(self, interval: float) -> Event | None:
        """Return the fetch that runs; one begins *interval* seconds after the last at the earliest."""
        with self._lock:
            if self._fetching is None and time.monotonic() - self._tried >= min(interval, self._refresh or interval):
                self._start()
            return self._fetching

    def _begin_for_unknown(self) -> Event | None:
        with self._lock:
            now = time.monotonic()
            if self._fetching is None and now - self._tried_for_unknown >= _UNKNOWN_INTERVAL:
                self._tried_for_unknown = now
                self._start()
            return self._fetching

    def _start(self) -> None:
        self._tried, self._fetching = time.monotonic(), Event()
        thread = Thread(target=self._run, args=[self._fetching], name="keys of an issuer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self._fetching = None

    def _run(self, ended: Event) -> None:
        try:
            self._held = _Held(self._fetch(), time.monotonic())
        except ArchiveInterfaceError as error:
            _log.warning("the keys of %s cannot be fetched: %s", self._name, error)
        finally:
            with self._lock:
                self._fetching = None
            ended.set()

    def _wait_for(self, fetching: Event | None) -> bool:
        """Return whether there was a fetch, and it has ended. Few requests wait, for each occupies a thread."""
        if fetching is None:
            return False
        if not self._places.acquire(blocking=False):
            raise BackendUnavailableError("the keys of the token's issuer are being fetched, try again later")
        try:
            return fetching.wait(self._patience)
        finally:
            self._places.release()
