"""The header fields that announce, ask for and tell digests (RFC 9530, RFC 3230, Content-MD5)."""

import base64
import binascii
import re
from collections.abc import Mapping

from ...digests import Digests, algorithm, digest_length
from ...exception import DigestError

_RFC_9530_NAMES = {"adler32": "adler"}
_HEX_IN_DIGEST = ("adler32", "crc32c")  # RFC 3230 and its registry write these in hex
_MEMBER = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)\s*=\s*:([A-Za-z0-9+/=]*):\s*(?:;[^,]*)?", re.ASCII)
_PREFERENCE = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)\s*=\s*(\d+)\s*", re.ASCII)


def announced_digests(headers: Mapping[str, str]) -> Digests:
    """Return the digests that the headers of an upload announce, of the algorithms that this installation can compute.

    Content-Digest and Repr-Digest (RFC 9530), Digest (RFC 3230), Content-MD5. Raises DigestError
    for a header that is malformed, or when two of them say different things.
    """
    found: Digests = {}
    for header, parse in (
        ("Content-Digest", _parse_rfc_9530),
        ("Repr-Digest", _parse_rfc_9530),
        ("Digest", _parse_rfc_3230),
        ("Content-MD5", lambda text: [("md5", text)]),
    ):
        sent = headers.get(header)
        for name, text in parse(sent) if sent else ():
            known = algorithm(name)
            if known and found.setdefault(known, value := _value(known, text, header)) != value:
                raise DigestError(f"the headers announce two different {known} digests")
    return found


def digest_headers(digests: Digests, request_headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that tell the stored *digests*, as Want-Repr-Digest and Want-Digest ask for them."""
    if not digests:
        return {}
    headers = {"Repr-Digest": repr_digest(digests, request_headers.get("Want-Repr-Digest"))}
    wanted = request_headers.get("Want-Digest")
    if wanted is not None and (told := digest(digests, wanted)):
        headers["Digest"] = told
    return headers


def repr_digest(digests: Digests, wanted: str | None = None) -> str:
    """Return the Repr-Digest header for *digests*: all, or those that a Want-Repr-Digest header prefers."""
    chosen = digests
    if wanted:
        preferred = _preferences(wanted)
        chosen = {name: digests[name] for name in preferred if name in digests} or digests
    return ", ".join(
        f"{_RFC_9530_NAMES.get(name, name)}=:{base64.b64encode(value).decode()}:" for name, value in chosen.items()
    )


def digest(digests: Digests, wanted: str) -> str:
    """Return the Digest header (RFC 3230) that a Want-Digest header asks for; empty when none is known.

    Each digest has the name that the client gave it, in lower case: davix looks for ``sha256`` if it asked for that.
    """
    asked: dict[str, str] = {}
    for member in wanted.split(","):
        name, _, parameter = member.partition(";")
        known = algorithm(name)
        weight = parameter.strip().removeprefix("q=")
        if known and known in digests and not re.fullmatch(r"0(\.0*)?", weight):
            asked.setdefault(known, name.strip().lower())
    return ",".join(f"{name}={_rfc_3230_text(known, digests[known])}" for known, name in asked.items())


def _rfc_3230_text(name: str, value: bytes) -> str:
    return value.hex() if name in _HEX_IN_DIGEST else base64.b64encode(value).decode()


def _preferences(text: str) -> list[str]:
    weights: dict[str, int] = {}
    for member in text.split(","):
        match = _PREFERENCE.fullmatch(member)
        known = algorithm(match[1]) if match else None
        if match and known and int(match[2][:3]):
            weights[known] = int(match[2][:3])
    return sorted(weights, key=lambda name: -weights[name])


def _parse_rfc_9530(text: str) -> list[tuple[str, str]]:
    members = [_MEMBER.fullmatch(member) for member in text.split(",")]
    if None in members:
        raise DigestError("Content-Digest and Repr-Digest look like sha-256=:<base64>:")
    return [(match[1], match[2]) for match in members if match]


def _parse_rfc_3230(text: str) -> list[tuple[str, str]]:
    members = [member.partition("=") for member in text.split(",")]
    if not all(name.strip() and value.strip() for name, _, value in members):
        raise DigestError("Digest looks like SHA-256=<base64>")
    return [(name, value.strip()) for name, _, value in members]


def _value(name: str, text: str, header: str) -> bytes:
    length = digest_length(name)
    if len(text) == 2 * length:  # hex, as checksums are written and as Pacifica's metadata write all
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != length:
        raise DigestError(f"{header}: this is not a {name} digest")
    return value
