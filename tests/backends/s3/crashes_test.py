"""A service that is killed while it stores a large file: the next start leaves no trace of what was not stored."""

import os
import signal
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from tests.backends.s3.faulty_site import LARGE, OLD, PART, FaultySite
from tests.backends.s3.support import write_config
from tests.support.forked import forked_launcher
from tests.support.processes import Server
from tests.support.s3_proxy import Answer, Call
from tests.support.service import TIMEOUT

Moment = Callable[[Server, Call], Answer]


def before(server: Server, call: Call) -> Answer:
    """Kill the service before the store gets its call."""
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    raise ConnectionAbortedError


def after(server: Server, call: Call) -> Answer:
    """Kill the service when the store has done what it was asked for."""
    call.forward()
    return before(server, call)


MOMENTS = {
    "part": ("UploadPart", 2, before, OLD),
    "before-complete": ("CompleteMultipartUpload", 1, before, OLD),
    "after-complete": ("CompleteMultipartUpload", 1, after, LARGE),
}


@pytest.mark.parametrize(("call", "number", "moment", "content"), MOMENTS.values(), ids=MOMENTS)
def test_a_service_that_is_killed_leaves_the_old_file_or_the_new_one(
    call: str, number: int, moment: Moment, content: bytes, site: FaultySite, tmp_path: Path
) -> None:
    config = write_config(tmp_path, site, part_size=PART, abandoned_seconds=0)
    arguments = (site.prefix, "-t", "s3", "-c", str(config))
    with forked_launcher(*arguments) as killed:
        assert requests.put(f"{killed.url}/1", data=OLD, timeout=TIMEOUT).status_code == 201
        site.proxy.spoil(call, lambda call: moment(killed, call), number)
        with pytest.raises(requests.ConnectionError):
            requests.put(f"{killed.url}/1", data=LARGE, timeout=TIMEOUT)
    with forked_launcher(*arguments) as started:
        site.check_nothing_is_left()
        found = requests.get(f"{started.url}/1", headers={"Want-Repr-Digest": "sha-256=1"}, timeout=TIMEOUT)
    assert found.content == content
    assert b64encode(sha256(content).digest()).decode() in found.headers["Repr-Digest"]
