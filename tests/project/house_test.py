"""The house tests itself: its layers, its names, its tables."""

import ast
import errno
import os
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import pytest

import pacifica.archiveinterface
from pacifica.archiveinterface import exception
from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.factory import ArchiveBackendFactory
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.config import Config, built_in_sections, get_config
from pacifica.archiveinterface.exception import ArchiveInterfaceError, ConfigurationError, archive_error
from pacifica.archiveinterface.http.errors import STATUS_OF, status_of
from pacifica.archiveinterface.options import options

ROOT = Path(pacifica.archiveinterface.__file__).parent

# Lower layers first; a module imports from layers below its own, or beside it within one folder.
HSM = "backends.oracle_hsm_sideband"
HPSS = "backends.hpss"
S3 = "backends.s3"
LAYERS = [
    {"exception", "globals", "openapi.operation", "servers.patience"},
    {"metrics.cells"},
    {"metrics.kinds"},
    {"metrics.definitions"},
    {
        "audit.lines",
        "connections",
        "digests",
        "id2filename",
        "options",
        "printing",
        "syncing",
        "logs.context",
        "web.exchange",
        "http.headers.dates",
        "http.headers.ranges",
        "http.headers.request_head",
        "http.headers.trace_context",
        "http.server_calls",
        "openapi.errors",
        "openapi.headers",
        "openapi.pages",
        "openapi.security",
        "openapi.tape",
        f"{S3}.calls.dates",
        f"{S3}.calls.errors",
        f"{S3}.writing.memory",
        "servers.systemd",
        "servers.extra_threads",
        "servers.uwsgi.workers",
        "servers.wire",
        "servers.clients",
    },
    {
        "auth.options",
        "auth.permissions",
        "auth.files.watched",
        "audit.files",
        "audit.head",
        "audit.keys",
        "audit.options",
        "audit.suspects",
        "backends.abstract.moving",
        "backends.abstract.naming",
        "backends.abstract.notes",
        "backends.abstract.options",
        "backends.abstract.recalls",
        "backends.abstract.residency",
        "backends.abstract.undoing",
        "backends.abstract.walking",
        "backends.posix.options",
        f"{HPSS}.options",
        f"{S3}.options",
        f"{S3}.calls.tracing",
        f"{HSM}.options",
        f"{HSM}.orm",
        "database",
        "http.headers.digest_fields",
        "http.options",
        "openapi.files",
        "logs.options",
        "recalls.options",
        "servers.lingering",
        "servers.options",
        "servers.receiving",
        "pages.options",
        "servers.supervisor",
        "tape.options",
        "tape.times",
        "web.headers",
        "web.settings",
        "logs.lines",
    },
    {"stores"},
    {"limits.allowances", "recalls.tables", "limits.tables"},
    {"limits.holding", "limits.options"},
    {"limits.usage"},
    {"limits.changes", "limits.gate"},
    {
        "auth.certificates",
        "auth.issuers.claims",
        "auth.issuers.fetching",
        "auth.files.checks",
        "auth.files.editing",
        "auth.methods",
        "auth.files.permissions_file",
        "auth.proxies",
        "auth.scopes",
        "audit.chain",
        "config",
        "backends.abstract.layout",
        "logs.formatters",
        "logs.spans",
        "logs.writing",
        "backends.abstract.status",
        "openapi.document",
        "recalls.store",
        f"{S3}.calls.client",
        f"{S3}.notes",
    },
    {"audit.log", "auth.issuers.keys", "auth.files.passwords", "auth.files.tokens", f"{S3}.calls.direct"},
    {
        "audit.deeds",
        "audit.verification",
        "auth.issuers.sections",
        "backends.abstract.precondition",
        "logs.access",
        "logs.tracing",
        "web.logs",
        "http.headers.file_headers",
        f"{S3}.calls.bucket",
        "recalls.demands",
        "recalls.recaller.lease",
        "recalls.recaller.outcomes",
        "recalls.report",
    },
    {
        "archive_utils",
        "auth.issuers.tokens",
        "http.storing",
        "backends.abstract.file",
        "backends.abstract.replacing",
        f"{S3}.tape.restoring",
        "http.headers.conditions",
        "recalls.recaller.pace",
        "recalls.recaller.queues",
        "recalls.requests",
    },
    {
        "auth.outside",
        "backends.abstract.archive",
        f"{HPSS}.calls.waiting",
        f"{HPSS}.calls.workers",
        f"{S3}.status",
    },
    {
        "fixity",
        "auth.authenticator",
        "recalls.recaller.keeping",
        "recalls.recaller.pins",
        "tape.bodies",
        "recalls.progress",
        "recalls.pruning",
        "http.request_body",
        "http.sendfile",
        "servers.transmission",
        "backends.posix.status",
        "backends.posix.tree",
        f"{HSM}.tape.libsam",
        f"{HSM}.tape.running",
        f"{HSM}.connecting",
        f"{HSM}.sideband",
        f"{HPSS}.calls.client",
        f"{HPSS}.calls.session",
        f"{HPSS}.status",
        f"{S3}.store",
    },
    {
        "limits.counted",
        "limits.recount",
        "recalls.recaller.locating",
        "servers.uwsgi.connection",
        "tape.permissions",
        "web.principals",
    },
    {
        "http.response_body",
        "servers.uwsgi.bodies",
        "limits.service",
        "recalls.recaller.starting",
        "recalls.recaller.watching",
        "backends.posix.durability",
        "backends.posix.partial",
        f"{HSM}.tape.recalls",
        f"{HSM}.residency",
        f"{HSM}.tape.stagers",
        f"{HPSS}.notes",
        f"{HPSS}.listing",
        f"{HPSS}.tape.recalls",
        f"{HPSS}.places",
        f"{S3}.changes.annotating",
        f"{S3}.listing",
        f"{S3}.writing.parts",
        f"{S3}.tape.polling",
        f"{S3}.probing",
        f"{S3}.tape.recalls",
    },
    {
        "http.answers",
        "recalls.recaller.recaller",
        "backends.posix.moving",
        "backends.posix.notes",
        f"{HSM}.status",
        f"{HPSS}.extended",
        f"{S3}.reading",
        f"{S3}.changes.removing",
        f"{S3}.writing.writer",
    },
    {
        f"{HSM}.tape.requests",
        f"{HPSS}.transfers.reading",
        f"{HPSS}.transfers.writing",
        "pages.access",
        "pages.questions",
        "pages.snapshot",
        "backends.measuring",
        "recalls.service",
        f"{S3}.changes.copying",
        f"{S3}.writing.publishing",
    },
    {
        "http.changes",
        "http.errors",
        "http.event_stream",
        "http.file_answers",
        "http.properties",
        "tape.answers",
        "backends.conformance.base",
        "backends.posix.store",
        f"{S3}.changes.moving",
        f"{S3}.writing.uploading",
        "backends.posix.sweeping",
        f"{HSM}.tape.choosing",
        f"{HPSS}.store",
        f"{S3}.layout",
    },
    {
        "backends.posix.layout",
        "backends.posix.placing",
        f"{HPSS}.transfers.publishing",
        f"{HPSS}.layout",
        f"{HPSS}.tape.purging",
        f"{S3}.file",
        "web.limits",
        "web.auditing",
        "web.counting",
        "web.writing",
    },
    {
        "backends.posix.extendedfile",
        f"{HPSS}.file",
    },
    {
        "rest_generator",
        "pages.health",
        "pages.openapi",
        "pages.recalls",
        "tape.resources",
        "commands.author",
        "commands.layout",
        "commands.output",
        "commands.scrub",
        "backends.conformance.files",
        "backends.conformance.fixity",
        "backends.conformance.moves",
        "backends.conformance.tape",
        "backends.posix.archive",
        f"{HSM}.extended_file_factory",
        f"{HPSS}.archive",
        f"{S3}.archive",
    },
    {
        f"{HSM}.archive",
        "pages.readings",
        "servers.request",
        "servers.tls",
        "web.request",
        "web.response",
        "web.routes",
    },
    {"backends.factory", f"{HPSS}.to_tape", "pages.exposition", "pages.metrics", "servers.connection"},
    {"web.application"},
    {
        "commands.auditing",
        "commands.following",
        "commands.host_files",
        "commands.startup",
        "servers.launcher",
        "servers.uwsgi.answer",
    },
    {"commands.inventory", "commands.setup", "commands.stage", "commands.users"},
    {
        "commands.audit",
        "commands.convert",
        "commands.manifest",
        "commands.queues",
        "commands.quota",
        "commands.recaller",
        "commands.verify",
        "servers.running",
        "wsgi",
    },
    {"commands.admin", "commands.server"},
    {"__main__"},
]
CHERRYPY = {
    "rest_generator",
    "pages.access",
    "pages.health",
    "pages.metrics",
    "pages.recalls",
    "tape.resources",
}  # beside web/ and servers/

# Names that CherryPy and cheroot do not document. A release that renames one is found here.
PRIVATE = {
    "cherrypy._cplogging": ["LogManager.access", "NullHandler"],
    "cherrypy._cprequest": [
        "HookMap.run",
        "Request.get_resource",
        "Request.process_headers",
        "Request.process_query_string",
        "Request.run",
        "Response.finalize",
        "hookpoints",
    ],
    "cherrypy._cptree": ["Application.get_serving", "Application.release_serving"],
    "cherrypy._cpwsgi": ["AppResponse.close", "AppResponse.run", "CPWSGIApp.response_class"],
    "cherrypy._cpwsgi_server": ["CPWSGIHTTPRequest", "CPWSGIServer"],
    "cherrypy.lib.httputil": ["HeaderMap.encode_header_item", "HeaderMap.output", "HeaderMap.transform_key"],
    # The launcher reaches the selector as ArchiveServer._connections._selector, which the tests of reloading cover.
    "cheroot.connections": ["_ThreadsafeSelector.__len__", "_ThreadsafeSelector.unregister"],
    "cheroot.server": [
        "HTTPConnection.RequestHandlerClass",
        "HTTPConnection.communicate",
        "HTTPRequest.read_request_headers",
        "HTTPRequest.read_request_line",
        "HTTPRequest.send_headers",
        "HTTPRequest.simple_response",
        "HTTPServer.ConnectionClass",
        "HTTPServer.bind",
        "HTTPServer.bind_socket",
        "HTTPServer.keep_alive_conn_limit",
        "HTTPServer.prepare_socket",
        "HTTPServer.process_conn",
        "HTTPServer.put_conn",
        "HTTPServer.resolve_real_bind_addr",
    ],
    "cheroot.wsgi": ["Gateway_10.get_environ", "Gateway_10.respond"],
    "cheroot.workers.threadpool": ["ThreadPool.qsize", "WorkerThread.conn"],
}

DOCUMENTED = {
    "rest_generator": ["ArchiveInterfaceGenerator"],
    "backends.factory": ["ArchiveBackendFactory"],
    "backends.abstract.archive": ["AbstractBackendArchive"],
    "backends.abstract.status": ["AbstractStatus"],
    "backends.posix.archive": ["PosixBackendArchive"],
    "backends.posix.extendedfile": ["extended_file_factory"],
    "backends.posix.status": ["PosixStatus"],
    "backends.conformance": ["ConformanceSuite", "MakeArchive", "fail_while_writing", "fails_with", "get", "put"],
    f"{HSM}.archive": ["HsmSidebandBackendArchive", "path_info_munge"],
    f"{HSM}.extended_file_factory": ["extended_hsmsideband_factory"],
    f"{HSM}.orm": ["BaseModel", "SamArchive", "SamFile", "SamInode", "SamPath", "SamVersion"],
    f"{HSM}.status": ["HsmSidebandStatus"],
    f"{HPSS}.archive": ["HpssBackendArchive", "path_info_munge"],
    f"{HPSS}.extended": ["HpssExtended"],
    f"{HPSS}.status": ["HpssStatus"],
    "archive_utils": ["bytes_type", "file_status", "get_http_modified_time", "un_abs_path"],
    "config": ["get_config"],
    "exception": ["ArchiveInterfaceError"],
    "globals": ["CONFIG_FILE", "CHERRYPY_CONFIG"],
    "id2filename": ["id2filename", "filename2id"],
    "__main__": ["main", "cmd"],
}


def modules() -> dict[str, Path]:
    """Return every module of the package, by its name below the package; packages' own files left out."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in ROOT.rglob("*.py")
        if path.name != "__init__.py"
    }


def imports_of(name: str, path: Path) -> set[str]:
    """Return the modules that the module imports, our own by their names below the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            parents = name.split(".")[: -node.level]
            found.add(".".join([*parents, *(node.module or "").split(".")]).strip("."))
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_every_module_has_its_layer() -> None:
    assert set().union(*LAYERS) == set(modules())


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_imports_only_from_layers_below(name: str) -> None:
    ours = imports_of(name, modules()[name]) & set(modules())
    level = next(number for number, layer in enumerate(LAYERS) if name in layer)
    assert ours <= set().union(*LAYERS[:level])


def frameworks_of(name: str, path: Path) -> set[str]:
    """Return the modules of CherryPy and cheroot that the module imports."""
    return {module for module in imports_of(name, path) if module.split(".")[0] in ("cherrypy", "cheroot")}


def test_only_the_web_side_knows_cherrypy() -> None:
    importers = {name for name, path in modules().items() if frameworks_of(name, path)}
    assert {name for name in importers if name.split(".")[0] not in ("web", "servers")} == CHERRYPY


@pytest.mark.parametrize("module", sorted(PRIVATE))
def test_private_names_of_cherrypy_and_cheroot_exist(module: str) -> None:
    loaded = import_module(module)
    assert [name for name in PRIVATE[module] if not _has(loaded, name)] == []


def _has(found: object, name: str) -> bool:
    try:
        attrgetter(name)(found)
    except AttributeError:
        return False
    return True


def test_no_other_private_module_of_cherrypy_is_used() -> None:
    used = {module for name, path in modules().items() for module in frameworks_of(name, path)}
    assert {module for module in used if "._" in module} <= set(PRIVATE)


@pytest.mark.parametrize("module", sorted(DOCUMENTED))
def test_documented_names_are_importable(module: str) -> None:
    loaded = import_module(f"pacifica.archiveinterface.{module}")
    assert all(hasattr(loaded, name) for name in DOCUMENTED[module])


def test_the_wsgi_application_is_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAI_PREFIX", str(tmp_path))
    assert callable(import_module("pacifica.archiveinterface.wsgi").application)


def test_pacifica_is_a_namespace_that_others_share() -> None:
    assert not (ROOT.parent / "__init__.py").exists()


@pytest.mark.parametrize("module", sorted(modules()))
def test_every_public_name_has_a_docstring(module: str) -> None:
    tree = ast.parse(modules()[module].read_text())
    assert ast.get_docstring(tree)
    assert [name for name, node in _public_names(tree) if not ast.get_docstring(node)] == []


def _public_names(owner: ast.Module | ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    """Yield the public classes, functions and methods in *owner*; tests, overloads and Meta need no docstring."""
    for node in owner.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith(("_", "test_", "Meta")):
            continue
        if "overload" not in map(ast.unparse, node.decorator_list):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public_names(node)


def test_every_error_has_a_status() -> None:
    errors = [kind for kind in vars(exception).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    for kind in errors:
        assert any(parent in STATUS_OF for parent in kind.__mro__)
    assert {int(status) for status in STATUS_OF.values()} == {
        400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 415, 416, 429, 500, 501, 503, 505, 507,
    }  # fmt: skip


def test_an_unknown_error_is_the_service_s_own() -> None:
    assert status_of(ZeroDivisionError()) == 500


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOENT, 404),
        (errno.ENOTDIR, 404),
        (errno.ELOOP, 403),
        (errno.ENAMETOOLONG, 400),
        (errno.EEXIST, 409),
        (errno.EISDIR, 409),
        (errno.ENOSPC, 507),
        (errno.EDQUOT, 507),
        (errno.EFBIG, 413),
        (errno.ESTALE, 503),
        (errno.ETIMEDOUT, 503),
        (errno.EROFS, 503),
        (errno.EIO, 500),
        (errno.EACCES, 500),
    ],
)
def test_an_errno_becomes_a_status(number: int, status: int) -> None:
    error = archive_error(OSError(number, os.strerror(number), "/secret/path"))
    assert isinstance(error, ArchiveInterfaceError)
    assert status_of(error) == status
    assert "secret" not in str(error)


def test_the_factory_knows_the_built_in_backends_in_any_case(tmp_path: Path) -> None:
    factory = ArchiveBackendFactory()
    assert "posix" in factory.names()
    assert factory.load_backend_archive("PoSiX") is PosixBackendArchive
    assert isinstance(factory.get_backend_archive("posix", str(tmp_path)), AbstractBackendArchive)


def test_the_factory_names_what_it_knows_when_asked_for_something_else() -> None:
    with pytest.raises(ConfigurationError, match="posix"):
        ArchiveBackendFactory().load_backend_archive("tape")


def test_a_relative_prefix_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        PosixBackendArchive("archive")


def test_the_option_table_gives_the_defaults(tmp_path: Path) -> None:
    empty = tmp_path / "config.ini"
    empty.write_text("")
    assert get_config(str(empty)) == Config()
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {default}\n" for key, default, _ in options(section))
        for name, section in built_in_sections().items()
    )
    empty.write_text(text)
    assert get_config(str(empty)) == Config()


def test_every_option_has_a_meaning() -> None:
    assert all(meaning for section in built_in_sections().values() for _, _, meaning in options(section))
