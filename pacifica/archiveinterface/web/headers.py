"""Header fields as CherryPy has them, looked up and encoded faster."""

from functools import lru_cache

from cherrypy.lib.httputil import HeaderMap

_WRITTEN = {"Etag": "ETag"}  # names that are not in title case


class Headers(HeaderMap):
    """CherryPy's headers; names are put into title case once, and what needs no escape is encoded as it is."""

    transform_key = staticmethod(lru_cache(maxsize=256)(str.title))

    def output(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields as they are sent."""
        return [(_encoded_name(name), _encoded(str(value))) for name, value in self.items()]


@lru_cache(maxsize=256)
def _encoded_name(name: str) -> bytes:
    return _encoded(_WRITTEN.get(name, name))


def _encoded(text: str) -> bytes:
    if text.isascii() and text.isprintable():
        return text.encode()
    encoded: bytes = HeaderMap.encode_header_item(text)
    return encoded
