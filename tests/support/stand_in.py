"""A script in the place of the administrator's tool, for shells: a forked process does its work."""

import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.forked import ForkedProcess
from tests.support.loaded import run_cmd

# Without the packages of the environment, the interpreter starts in a tenth of the time that the tool takes.
_SCRIPT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({address!r})
    asked.sendall(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), os.getpid()]).encode() + b"\\n")
    sys.exit(int(asked.makefile().read()))
"""


class _Asked(socketserver.StreamRequestHandler):
    """Runs the tool for one call of the script, with the script's streams, and answers with the exit code."""

    def handle(self) -> None:
        """Run it to its end."""
        arguments, environment, directory, pid = json.loads(self.rfile.readline())
        streams = [f"/proc/{pid}/fd/{number}" for number in range(3)]
        process = ForkedProcess(run_cmd, arguments, environment, directory, *streams)
        self.wfile.write(b"%d" % process.wait())


@contextmanager
def stand_in(place: Path) -> Iterator[None]:
    """Make ``pacifica-archiveinterface-cmd`` in the directory *place*; it works until the block is left."""
    address, script = str(place / "asked"), place / "pacifica-archiveinterface-cmd"
    with socketserver.ThreadingUnixStreamServer(address, _Asked) as server:
        script.write_text(_SCRIPT.format(python=sys.executable, address=address))
        script.chmod(0o755)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()
