"""The limits of a principal, joined to CherryPy's requests."""

from typing import Any

from ..auth.permissions import ANONYMOUS
from ..http.errors import TAPE_API
from ..limits.gate import Gate

_UNLIMITED = "/-/"  # monitors and load balancers have to be answered whatever clients do
_TRANSFERS = ("GET", "PUT")


def principal_name(request: Any) -> str:
    """Return the name of the principal whose *request*, CherryPy's, this is."""
    found = getattr(request, "principal", None)  # requests of other applications than ours have none
    return (found.name if found else "") or ANONYMOUS


def pass_gate(gate: Gate, request: Any, path: str) -> None:
    """Let *request* for *path* pass, or raise RateError; its transfer ends when it is closed."""
    if path.startswith(_UNLIMITED):
        return
    is_file = path.strip("/") and not f"{path}/".startswith(TAPE_API)
    is_transfer = bool(is_file) and request.method in _TRANSFERS
    request.end_transfer = gate.admit(principal_name(request), is_transfer=is_transfer)
