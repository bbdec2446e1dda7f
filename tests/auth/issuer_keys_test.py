"""The keys of issuers: how they are fetched, kept while an issuer is down, and renewed."""

import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.auth.site import MakeSite, running_issuer
from tests.support.certificates import make_authority, make_certificate
from tests.support.issuer import DISCOVERY, KEYS, SECRET, Answer, Issuer, answer_json, public_jwk, rsa_key
from tests.support.waiting import await_true


def test_keys_are_fetched_once(sites: MakeSite, own_issuer: Issuer) -> None:
    site = sites(own_issuer)
    for _ in range(20):
        assert site.read(own_issuer.token()).status_code == 200
    assert own_issuer.asked == {DISCOVERY: 1, KEYS: 1}


def test_the_section_may_name_where_the_keys_are(sites: MakeSite, own_issuer: Issuer) -> None:
    assert sites(own_issuer, jwks_uri=f"{own_issuer.url}{KEYS}").read(own_issuer.token()).status_code == 200
    assert own_issuer.asked == {KEYS: 1}


def test_unknown_keys_cause_one_fetch(sites: MakeSite, own_issuer: Issuer) -> None:
    site = sites(own_issuer)
    assert site.read(own_issuer.token()).status_code == 200
    for number in range(20):
        assert site.read(own_issuer.token(header={"kid": f"unknown{number}"})).status_code == 401
    assert own_issuer.asked == {DISCOVERY: 2, KEYS: 2}


def test_a_new_key_is_accepted_at_once_and_the_old_one_no_longer(sites: MakeSite, own_issuer: Issuer) -> None:
    site, old = sites(own_issuer), own_issuer.token()
    assert site.read(old).status_code == 200
    own_issuer.rotate("new")
    assert site.read(own_issuer.token()).status_code == 200
    assert site.read(old).status_code == 401


def test_an_unknown_key_holds_nobody_else_up(sites: MakeSite, own_issuer: Issuer) -> None:
    site = sites(own_issuer, keys_timeout="60")
    assert site.read(own_issuer.token()).status_code == 200
    own_issuer.may_answer = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(site.read, own_issuer.token(header={"kid": "unknown"}))
        await_true(lambda: own_issuer.asked[DISCOVERY] == 2)
        for _ in range(20):
            assert site.read(own_issuer.token()).status_code == 200
        assert not held.done()
        own_issuer.may_answer.set()
        assert held.result().status_code == 401


def test_few_requests_wait_for_a_slow_issuer(sites: MakeSite, own_issuer: Issuer) -> None:
    site = sites(own_issuer, keys_timeout="60")
    assert site.service.request("GET", "/-/health").ok  # it serves before the threads ask
    own_issuer.may_answer = threading.Event()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(site.read, own_issuer.token()) for _ in range(20)]
        await_true(lambda: sum(each.done() for each in asked) == 12)
        assert {each.result().status_code for each in asked if each.done()} == {503}
        own_issuer.may_answer.set()
        assert sorted(each.result().status_code for each in asked) == [200] * 8 + [503] * 12
    assert own_issuer.asked == {DISCOVERY: 1, KEYS: 1}


def test_keys_are_renewed_in_the_background(sites: MakeSite, own_issuer: Issuer) -> None:
    site, old = sites(own_issuer, keys_refresh="0.1"), own_issuer.token()
    assert site.read(old).status_code == 200
    own_issuer.rotate("new")
    await_true(lambda: site.read(old).status_code == 401)


def test_the_last_keys_stay_in_use_while_the_issuer_is_down(
    sites: MakeSite, own_issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    site = sites(own_issuer, keys_refresh="0.1")
    assert site.read(own_issuer.token()).status_code == 200
    own_issuer.stop()
    await_true(lambda: site.read(own_issuer.token()).status_code == 200 and "cannot be fetched" in caplog.text)
    assert site.read(own_issuer.token()).status_code == 200
    own_issuer.start()


def test_keys_are_not_kept_for_ever(sites: MakeSite, own_issuer: Issuer) -> None:
    site = sites(own_issuer, keys_refresh="0.1", keys_kept="0.0001")
    assert site.read(own_issuer.token()).status_code == 200
    own_issuer.stop()
    await_true(lambda: site.read(own_issuer.token()).status_code == 503)
    own_issuer.start()
    await_true(lambda: site.read(own_issuer.token()).status_code == 200)


DISCOVERED = {"issuer": "{url}", "jwks_uri": "{url}/keys"}


def _status(status: int, **headers: str) -> Answer:
    """Return an answer whose content would be good, were it not for its status."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        answer_json(request, {**DISCOVERED, "keys": [public_jwk(rsa_key("rsa"), kid="rsa")]}, status, headers)

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


def _silent(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.rfile.read(1)  # until the service hangs up


def _no_json(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b"<html></html>")


def _content(content: object) -> Answer:
    return lambda request: answer_json(request, content)


BAD_ANSWERS: dict[str, tuple[str, Answer]] = {
    "redirected discovery": (DISCOVERY, _status(302, Location="/moved")),
    "redirected keys": (KEYS, _status(301, Location="/moved")),
    "an error": (KEYS, _status(500)),
    "another issuer's discovery": (DISCOVERY, _content({"issuer": "https://evil.example", "jwks_uri": "{url}/keys"})),
    "discovery without keys": (DISCOVERY, _content({"issuer": "{url}"})),
    "keys without encryption": (DISCOVERY, _content({**DISCOVERED, "jwks_uri": "http://192.0.2.1/keys"})),
    "keys in a file": (DISCOVERY, _content({**DISCOVERED, "jwks_uri": "file:///etc/passwd"})),
    "a port that is no port": (DISCOVERY, _content({**DISCOVERED, "jwks_uri": "https://127.0.0.1:x/keys"})),
    "nothing": (KEYS, _silent),
    "no JSON": (KEYS, _no_json),
    "a list": (KEYS, _content([])),
    "no keys": (KEYS, _content({"keys": []})),
    "keys that are no list": (KEYS, _content({"keys": {"kty": "RSA"}})),
    "secrets alone": (KEYS, _content({"keys": [SECRET]})),
    "more than a megabyte": (KEYS, _endless(b" " * (1 << 16), 0)),
    "a byte at a time": (KEYS, _endless(b" ", 0.05)),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_of_an_issuer_is_not_the_client_s_fault(
    sites: MakeSite, own_issuer: Issuer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path, own_issuer.answers[path] = BAD_ANSWERS[name]
    site = sites(own_issuer, keys_refresh="0.1", keys_timeout="0.5")
    answer = site.read(own_issuer.token())
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert own_issuer.asked["/moved"] == 0
    del own_issuer.answers[path]
    await_true(lambda: site.read(own_issuer.token()).status_code == 200)
    caplog.clear()
    path, own_issuer.answers[path] = BAD_ANSWERS[name]
    await_true(lambda: site.read(own_issuer.token()).status_code == 200 and "cannot be fetched" in caplog.text)
    assert site.read(own_issuer.token()).status_code == 200


def test_the_certificate_of_an_issuer_is_verified(
    sites: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_authority(tmp_path, "ca")
    make_certificate(tmp_path, "issuer", "IP:127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "issuer.pem", tmp_path / "issuer.key")
    with running_issuer(context) as issuer:
        site = sites(issuer, keys_refresh="0.1")
        assert site.read(issuer.token()).status_code == 503
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        await_true(lambda: site.read(issuer.token()).status_code == 200)
