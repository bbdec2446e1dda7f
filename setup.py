"""The HPSS extension; all else about the distribution is in pyproject.toml.

It is built when HPSS_PREFIX names an HPSS client (``/opt/hpss``: headers in
``include``, libraries in ``lib``), and left out otherwise.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, setup

HPSS = "pacifica/archiveinterface/backends/hpss"


def hpss_extension(prefix: Path) -> Extension:
    """Return the extension that calls the HPSS client installed below *prefix*."""
    include, library = prefix / "include", prefix / "lib"
    if not (include / "hpss_api.h").exists():
        raise SystemExit(f"HPSS_PREFIX={prefix}: there is no include/hpss_api.h below it")
    flags, links = hpss_flags(library)
    tirpc = Path("/usr/include/tirpc")  # HPSS's headers want rpc/rpc.h, which moved there
    return Extension(
        f"{HPSS.replace('/', '.')}._hpssExtensions",
        [f"{HPSS}/hpssExtensions.c"],
        include_dirs=[str(include), *([str(tirpc)] if tirpc.exists() else [])],
        library_dirs=[str(library)],
        extra_compile_args=["-Wall", "-Wextra", *flags],
        extra_link_args=links,
    )


def hpss_flags(library: Path) -> tuple[list[str], list[str]]:
    """Return what to compile and to link with: as hpss.pc says (7.5 and later), else what 7.4 is known to want."""
    if (library / "hpss.pc").exists() and shutil.which("pkg-config"):
        search = {**os.environ, "PKG_CONFIG_PATH": str(library)}
        asked = [
            subprocess.run(["pkg-config", what, "hpss"], env=search, check=True, capture_output=True, text=True)
            for what in ("--cflags", "--libs")
        ]
        flags, links = (shlex.split(answer.stdout) for answer in asked)
        return flags, links
    helpers = [name for name in ("hpsscs", "hpssunixauth", "hpsskrb5auth") if (library / f"lib{name}.so").exists()]
    return ["-DLINUX", "-DLITTLEEND"], ["-lhpss", *(f"-l{name}" for name in helpers)]


hpss_prefix = os.environ.get("HPSS_PREFIX")

setup(ext_modules=[hpss_extension(Path(hpss_prefix))] if hpss_prefix else [])
