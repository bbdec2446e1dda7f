"""What the service has resident while a file goes in and comes out, for two sizes."""

from collections.abc import Iterator
from typing import Any

from ..load import curl, new_ids
from ..seed import FIRST_NEW_ID
from ..services import LAUNCHER, UWSGI
from .turns import Site


def measure_memory(site: Site, sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Yield what each service had before and at most, for files of *sizes* MiB."""
    for name in (LAUNCHER, UWSGI):
        running = site.services[name][1]
        for mebibytes in sizes:
            source = site.seed / "hole"
            with source.open("wb") as file:
                file.truncate(mebibytes << 20)
            file_id = str(next(new_ids) + 1)
            for kind, options in (("PUT", ("-T", str(source))), ("GET", ())):
                running.forget_peak()
                before = running.peak_mebibytes()
                came = curl(running, file_id, *options)
                wrong = came is None or (kind == "GET" and came != mebibytes << 20)
                yield {
                    "service": name,
                    "work": f"{kind} of {mebibytes} MiB",
                    "before_mebibytes": before,
                    "peak_mebibytes": running.peak_mebibytes(),
                    "wrong": int(wrong),
                }
            site.store.remove_new(FIRST_NEW_ID)
