"""The launcher and the administrator's tool on a simulated HPSS, in processes that are forked."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pacifica.archiveinterface.backends.hpss as package
from tests.backends.hpss.support import extension_of, names_of
from tests.hpss_simulator import Simulator
from tests.support.forked import forked_launcher
from tests.support.loaded import run_main
from tests.support.processes import Server


def run_on(simulator: Simulator, run: Callable[..., Any] = run_main) -> Callable[..., Any]:
    """Return what calls *run* in a process that was forked, where the package has the extension for *simulator*."""
    return partial(_run, run, extension_of(simulator.flavour))


def _run(run: Callable[..., Any], extension: Path, *arguments: object) -> None:
    package.__path__.append(str(extension.parent))
    run(*arguments)


def launcher_on(
    simulator: Simulator, directory: Path, *options: str, env: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """Run the launcher on *simulator*, whose archive is in *directory*, until the block is left."""
    environment = {**names_of(simulator), **(env or {})}
    return forked_launcher(directory, "-t", "hpss", *options, env=environment, run=run_on(simulator))
