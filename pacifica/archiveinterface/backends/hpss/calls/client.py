"""The client library of HPSS and the extension that calls it, loaded in the order that HPSS needs."""

import ctypes
import os
from importlib import import_module
from typing import Any

from ....exception import ConfigurationError

_EXTENSION = "pacifica.archiveinterface.backends.hpss._hpssExtensions"


def load_client(library: str) -> Any:
    """Return the extension, bound to the client library at the path *library*. Raises ConfigurationError."""
    try:
        # DEEPBIND: libhpss has XDR functions of its own, and the login fails when libc's are found first. Here and not
        # by sys.setdlopenflags(), which would hold for every later import. (ctypes adds RTLD_NOW by itself.)
        ctypes.CDLL(library, mode=os.RTLD_LAZY | os.RTLD_DEEPBIND)
    except OSError as error:
        raise ConfigurationError(f"[hpss] library = {library!r} cannot be loaded: {error}") from error
    try:
        client = import_module(_EXTENSION)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "this installation was built without HPSS; on a machine with its client, in a clone of the repository, run:"
            " HPSS_PREFIX=/opt/hpss pip install --force-reinstall --no-deps ."
        ) from error
    except ImportError as error:
        raise ConfigurationError(f"the HPSS extension does not fit [hpss] library = {library!r}: {error}") from error
    _check_version(client, library)
    return client


def _check_version(client: Any, library: str) -> None:
    running = client.build_level()
    built = "{}.{}".format(*client.VERSION)
    if _numbers(running) != _numbers(built):
        raise ConfigurationError(f"[hpss] library = {library!r} is HPSS {running}; the extension was built for {built}")


def _numbers(version: str) -> list[str]:
    return [number.lstrip("0") for number in version.split(".")[:2]]
