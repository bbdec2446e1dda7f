"""The layout that the files of an archive have, compared with the one that its options say."""

import logging
from contextlib import suppress

from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.layout import FLAT, TREE, LayoutKeeper, conversion, layouts_of
from ..exception import BackendUnavailableError, ConfigurationError, ConflictError, StorageError
from ..globals import LOG_NAME

CONVERT = "pacifica-archiveinterface-cmd convert"
_CONVERSIONS = {conversion(FLAT, TREE): TREE, conversion(TREE, FLAT): FLAT}
_log = logging.getLogger(LOG_NAME)


def require_layout(archive: AbstractBackendArchive) -> None:
    """Raise ConfigurationError unless the files of *archive* have the layout that its options say.

    From then on, conversions are kept off as long as *archive* lives. An archive without a marker gets one, unless it
    is read-only. A storage that does not answer is logged.
    """
    keeper = archive.layout_keeper
    if keeper is None:
        return
    try:
        _require_marker(archive, keeper)
    except ConflictError as error:
        raise ConfigurationError(f"{archive.prefix}: {error}") from error
    except (BackendUnavailableError, StorageError) as error:
        _log.warning("%s: the layout of the archive is not checked: %s", archive.prefix, error)


def _require_marker(archive: AbstractBackendArchive, keeper: LayoutKeeper) -> None:
    if not keeper.marker():
        _require_sample(archive, keeper)
        if archive.archive_options.read_only:
            return
        _mark(keeper, archive.layout)
    keeper.serve()
    marker = keeper.marker()
    if marker in _CONVERSIONS:
        command = f"{CONVERT} --to {_CONVERSIONS[marker]}"
        raise ConfigurationError(f"{archive.prefix}: a conversion of the archive was interrupted: run {command} again")
    if marker != archive.layout:
        raise _mismatch(archive, keeper, f"the archive has the layout {marker}")


def _mark(keeper: LayoutKeeper, layout: str) -> None:
    with suppress(ConflictError):  # another node, which starts at the same time, has set it
        keeper.set_marker(layout, instead_of="")


def _require_sample(archive: AbstractBackendArchive, keeper: LayoutKeeper) -> None:
    for layout, path in layouts_of(keeper.sample()).items():
        if layout != archive.layout:
            raise _mismatch(archive, keeper, f"{path} is a file in the layout {layout}")


def _mismatch(archive: AbstractBackendArchive, keeper: LayoutKeeper, finding: str) -> ConfigurationError:
    change = f"change [{archive.section}] use_id2filename, or " if len(keeper.layouts) > 1 else ""
    advice = f"{change}convert the archive with {CONVERT} --to {archive.layout}"
    return ConfigurationError(f"{archive.prefix}: {finding}, and the options say {archive.layout}: {advice}")
