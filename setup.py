"""The distribution: metadata, commands and what each purpose needs."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

setup(
    name="pacifica-archiveinterface",
    version="1.0.0",
    description="A REST service in front of hierarchical storage: POSIX, IBM HPSS and Oracle HSM",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The Pacifica Archive Interface authors",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_namespace_packages(include=["pacifica.*"]),
    package_data={"pacifica.archiveinterface": ["py.typed"]},
    install_requires=["cherrypy>=18.9", "peewee>=3.17", "pymysql>=1.1", "tqdm>=4.66"],
    extras_require={
        # The conformance suite needs no more than pytest.
        "conformance": ["pytest>=8"],
        "test": [
            "pytest>=8",
            "pytest-cov>=7",
            "pytest-xdist>=3.6",
            "coverage>=7.10",
            "hypothesis>=6.100",
            "requests>=2.31",
            "build>=1.2",
            "uwsgi>=2.0.24",
            "google-crc32c>=1.5",
        ],
        "check": ["ruff>=0.6", "mypy>=1.11", "types-PyMySQL>=1.1", "types-requests>=2.31", "types-tqdm>=4.66"],
        # pytest for the page of the conformance suite.
        "docs": ["sphinx>=7.3", "myst-parser>=3", "pytest>=8"],
        # The digest crc32c.
        "crc32c": ["google-crc32c>=1.5"],
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
