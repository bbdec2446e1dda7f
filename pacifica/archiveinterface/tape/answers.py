"""The answers of the tape API."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from ..backends.abstract.residency import Residency
from ..exception import ArchiveInterfaceError, BackendUnavailableError
from ..http.answers import Answer, json_answer
from ..recalls.options import RecallOptions
from ..recalls.progress import FileProgress, RequestProgress
from ..recalls.requests import Wish

DONE = Answer("200 OK", {})
"""The answer to what has nothing to tell."""

_OVERLAP = 30  # seconds; clocks of nodes differ, and a change is seen only when its transaction has ended


def discovery_answer(uri: str, sitename: str, options: RecallOptions) -> Answer:
    """Return the answer that tells where the API is, and which limits it has."""
    limits = {
        "maxFilesPerRequest": options.most_files,
        "minPollSeconds": ceil(options.poll_seconds),
        "retentionDays": int(options.keep_days),
    }
    endpoint = {"uri": uri, "version": "v1", "metadata": limits}
    return json_answer({"sitename": sitename, "endpoints": [endpoint]})


def accepted_answer(uri: str, request: str) -> Answer:
    """Return the answer to a stage request, which has the id *request* from now on."""
    return json_answer({"requestId": request}, "201 Created", {"Location": f"{uri}/stage/{request}"})


def progress_answer(progress: RequestProgress, asked_at: float) -> Answer:
    """Return the answer to a poll; ``nextSince`` is the ``since`` that misses no change after *asked_at*."""
    content: dict[str, Any] = {
        "id": progress.id,
        "createdAt": int(progress.created_at),
        "startedAt": int(progress.started_at),
    }
    if progress.completed_at is not None:
        content["completedAt"] = int(progress.completed_at)
    content["nextSince"] = int(asked_at) - _OVERLAP
    content["files"] = [_file(file) for file in progress.files]
    return json_answer(content, headers={"Cache-Control": "no-store"})


def _file(file: FileProgress) -> dict[str, Any]:
    found: dict[str, Any] = {"path": file.path, "state": file.state}
    if file.started_at is not None:
        found["startedAt"] = int(file.started_at)
    if file.finished_at is not None:
        found["finishedAt"] = int(file.finished_at)
    # Clients take a file with this key for failed, and give it up.
    if file.state == "FAILED":
        found["error"] = file.error or "the recall failed"
    if file.position is not None:
        found["position"] = file.position
    if file.seconds is not None:
        found["estimatedSeconds"] = ceil(file.seconds)
    return found


def localities_answer(wishes: Sequence[Wish], residencies: Mapping[str, Residency | ArchiveInterfaceError]) -> Answer:
    """Return the answer that tells where the files of *wishes* are, by their ids in *residencies*."""
    return json_answer([{"path": wish.path, **_locality(wish, residencies)} for wish in wishes])


def _locality(wish: Wish, residencies: Mapping[str, Residency | ArchiveInterfaceError]) -> dict[str, str]:
    if wish.file_id is None:
        return {"error": wish.error}
    residency = residencies[wish.file_id]
    if isinstance(residency, Residency):
        return {"locality": residency.locality.value}
    # An error would make clients give the file up.
    if isinstance(residency, BackendUnavailableError):
        return {"locality": "UNAVAILABLE"}
    return {"error": str(residency)}
