"""The documented entry points: `main` runs the server, `cmd` is the administrator's tool."""

import sys

from .commands.admin import cmd
from .commands.server import main

__all__ = ["cmd", "main"]

if __name__ == "__main__":
    sys.exit(main())
