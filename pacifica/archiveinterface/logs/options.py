"""The options of section [log]."""

from dataclasses import dataclass

from ..options import one_of, option


@dataclass(frozen=True)
class LogOptions:
    """What the service writes to standard error, which is the journal under systemd."""

    access: str = option(
        "combined",
        "the form of the line that each request gets; `combined`: that of web servers, and duration and request id;"
        " `json`: one object; `off`: no line",
        one_of("combined", "json", "off"),
    )
    format: str = option(
        "text", "the form of the service's own messages; `text`, or `json`: one object a line", one_of("text", "json")
    )
