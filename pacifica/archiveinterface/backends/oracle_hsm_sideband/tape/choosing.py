"""Which ways of telling residency, recalling, cancelling and releasing this server has, and the options choose."""

from ....exception import ConfigurationError
from ...abstract.recalls import RecallTraits
from ..options import HsmSidebandOptions
from ..residency import DatabaseResidency, ResidencySource, SamStatResidency
from ..sideband import Sideband
from .libsam import Libsam
from .recalls import Limits, Recalls
from .requests import Requests
from .running import Command, Request
from .stagers import FirstSupported, LibsamRequest, ReadStager

CANCEL_FAILED = "the recall from tape could not be cancelled"
RELEASE_FAILED = "the disk copy could not be released"
STAGE_FAILED = "the recall from tape could not be started"


class Ways:
    """The ways to the storage that *options* choose."""

    def __init__(self, options: HsmSidebandOptions) -> None:
        """Load libsam if it is there. Raises ConfigurationError when it has to be, or a command is missing."""
        self._options = options
        self._libsam = _libsam(options)
        # Everything but sam_stat.
        self._requests_libsam = self._libsam if self._libsam and self._libsam.has_requests() else None
        is_told = options.residency in ("auto", "sam_stat")
        self._sam_stat = SamStatResidency(self._libsam) if self._libsam and is_told else None

    def sources(self, sideband: Sideband) -> list[ResidencySource]:
        """Return what tells residency, the best first."""
        sources: list[ResidencySource] = [self._sam_stat] if self._sam_stat else []
        if self._options.residency in ("auto", "database"):
            sources.append(DatabaseResidency(sideband))
        return sources

    def requests(self) -> Requests:
        """Return what asks the storage for files."""
        options, libsam = self._options, self._requests_libsam
        cancel: Request | None = self._command(options.cancel_command, CANCEL_FAILED)
        release: Request | None = self._command(options.release_command, RELEASE_FAILED)
        if libsam:
            cancel, release = cancel or LibsamRequest(libsam.cancel_stage), release or LibsamRequest(libsam.release)
        return Requests(self._recalls(), cancel, release, options.stage_batch)

    def traits(self, prefix: str) -> RecallTraits:
        """Return what these ways can do with files below *prefix*."""
        options, libsam = self._options, self._requests_libsam
        is_queued_in_storage = (libsam and options.stager in ("auto", "libsam")) or self._stages_by_command()
        return RecallTraits(
            batch=self._limits().batch,
            sorts=bool(is_queued_in_storage),
            cancels=bool(libsam or options.cancel_command),
            releases=bool(libsam or options.release_command),
            # Whether a client that has sam_stat only sees that a stage is under way on the server is not known.
            tells_state=bool(libsam and self._sam_stat and self._sam_stat.describes(prefix)),
        )

    def _recalls(self) -> Recalls:
        options = self._options
        at_once = LibsamRequest(self._libsam.stage) if self._libsam and options.stager in ("auto", "libsam") else None
        ways: list[Request] = []
        if self._stages_by_command() and (command := self._command(options.stage_command, STAGE_FAILED)):
            ways.append(command)
        if options.stager in ("auto", "read"):
            ways.append(ReadStager(options.stage_read_timeout))
        if not (at_once or ways):
            raise ConfigurationError("[hsm_sideband] stage_command is empty, and stager = command needs one")
        return Recalls(at_once, FirstSupported(ways), self._limits())

    def _stages_by_command(self) -> bool:
        return bool(self._options.stage_command) and self._options.stager in ("auto", "command")

    def _limits(self) -> Limits:
        options = self._options
        # Another stager might wait for the tape of each of the files in turn.
        batch = options.stage_batch if options.stager == "command" else 1
        return Limits(options.recall_threads, options.recall_queue, batch)

    def _command(self, command: tuple[str, ...], failure: str) -> Command | None:
        return Command(command, self._options.stage_timeout, failure) if command else None


def _libsam(options: HsmSidebandOptions) -> Libsam | None:
    """Return the library, None if this server need not have it. Raises ConfigurationError."""
    try:
        return Libsam(options.libsam)
    except OSError as error:
        if options.residency == "sam_stat" or options.stager == "libsam":
            raise ConfigurationError(f"[hsm_sideband] libsam: {error}") from error
        return None
