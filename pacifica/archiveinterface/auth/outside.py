"""The methods of authentication that rest on what others vouch for: issuers of tokens, TLS, reverse proxies."""

from collections.abc import Callable, Iterable, Iterator

from ..exception import ConfigurationError
from .methods import Method
from .options import AuthOptions
from .proxies import ProxyHeader, RemoteUser


def outside_methods(options: AuthOptions, own: Iterable[Method] = ()) -> Iterator[Method]:
    """Yield the methods that *options* switch on, and in their place the service's *own*. Raises ConfigurationError.

    A proxy's word comes first: what it passes on of the client's own credentials, it has verified. A certificate comes
    last: a program that has one may act for the user whose token it sends.
    """
    if options.proxy_header:
        if not options.proxy_addresses:
            raise ConfigurationError("[auth] proxy_header needs proxy_addresses")
        yield ProxyHeader(options.proxy_header, options.proxy_addresses)
    if options.remote_user == "names":
        yield RemoteUser()
    yield from own
    if options.issuers_file:
        yield _installed(_signed_tokens, options)
    if options.client_certificates == "names":
        yield _installed(_client_certificates, options)


def _installed(make: Callable[[AuthOptions], Method], options: AuthOptions) -> Method:
    try:
        return make(options)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"[auth] needs the package {error.name}: pip install 'pacifica-archiveinterface[auth-jwt]'"
        ) from error


# Imported when asked for, not before: a site without them needs no packages for them.
def _signed_tokens(options: AuthOptions) -> Method:
    from .issuers.tokens import SignedTokens

    return SignedTokens(options.issuers_file, options.realm)


def _client_certificates(options: AuthOptions) -> Method:
    from .certificates import ClientCertificates

    return ClientCertificates()
