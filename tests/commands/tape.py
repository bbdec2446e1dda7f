"""An archive with tape in this process, and commands on it."""

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from docs.examples.tape_backend import TapeBackendArchive
from pacifica.archiveinterface.commands.admin import add_commands, run
from pacifica.archiveinterface.commands.startup import Site
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store

_QUICK: dict[str, Any] = {"quiet_seconds": 0, "poll_seconds": 0.05, "attempts": 1}


class TapeSite:
    """An archive whose files *names* are on tape only, and its recall service with the options *given*."""

    def __init__(self, directory: Path, *names: str, **given: Any) -> None:
        self.archive = TapeBackendArchive(str(directory))
        self.library = self.archive.library
        database = f"sqlite:///{directory}/recalls.sqlite3"
        options = RecallOptions(**{**_QUICK, "database": database, **given})
        self.recalls = RecallService(self.archive, Store("tape", options), options)
        for name in names:
            status = self.archive.file(name).store([b"twelve bytes"], 7.0)
            self.library.copies.add(status.version)
            self.library.offline.add(status.version)

    def run(self, *arguments: str) -> int:
        """Run a command of the administrator's tool and return the exit code."""
        parser = argparse.ArgumentParser()
        add_commands(parser)
        return run(Site(self.archive, self.recalls), parser.parse_args(arguments))

    @contextmanager
    def reading(self, together: int = 1) -> Iterator[None]:
        """Let the library finish recalls during the block, once *together* of them are under way."""
        stopping = threading.Event()

        def read() -> None:
            while not stopping.wait(0.02):
                if len(self.library.recalls) >= together:
                    self.library.finish()

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
