"""The options of section [tape]."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from ..options import option


def _public_url(text: str) -> str:
    meaning = "a URL such as https://archive.example.org, without query and fragment"
    try:
        parts = urlsplit(text)
        is_good = not text or (parts.scheme in ("http", "https") and bool(parts.hostname))
        is_good = is_good and not (parts.query or parts.fragment or parts.username) and text.isascii()
        _ = parts.port
    except ValueError:
        raise ValueError(meaning) from None
    if not is_good or any(character <= " " for character in text):
        raise ValueError(meaning)
    return text.rstrip("/")


@dataclass(frozen=True)
class TapeOptions:
    """The WLCG Tape REST API, which clients find through `/.well-known/wlcg-tape-rest-api`."""

    sitename: str = option(
        "pacifica",
        "name of the site in the answer to discovery, and the key of targetedMetadata that is read first",
    )
    public_url: str = option(
        "",
        "URL of the root of the archive as clients see it, for a service behind a reverse proxy that changes scheme,"
        " host or path; empty: as in the request",
        _public_url,
    )
