"""What requests cost in calls to the store, and what these say."""

import base64
import hashlib

import pytest
from botocore.exceptions import ClientError

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.conformance import get, put
from pacifica.archiveinterface.http.options import HttpOptions
from tests.backends.s3.faulty_site import LARGE, PART, SMALL, FaultySite
from tests.backends.s3.support import split
from tests.support.s3_proxy import Answer, Call
from tests.support.seaweedfs import SeaweedFS
from tests.support.service import serving

_UPLOAD = ("CreateMultipartUpload", *["UploadPart"] * 3, "PutNotes", "CompleteMultipartUpload")
# Digests and size of a large file are in an object of their own.
_CALLS = {
    SMALL: {"PUT": ["PutObject"], "GET": ["GetObject"], "HEAD": ["HeadObject"]},
    LARGE: {
        "PUT": ["HeadObject"] * 2 + [*_UPLOAD],
        "GET": ["GetObject", "GetNotes"],
        "HEAD": ["HeadObject", "GetNotes"],
    },
}


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_what_requests_cost(content: bytes, site: FaultySite) -> None:
    with serving(site.hasty) as service:
        for method, calls in _CALLS[content].items():
            site.proxy.heal()
            assert service.request(method, "/8", data=content if method == "PUT" else None).ok
            assert sorted(site.proxy.calls.elements()) == sorted(calls)


def test_a_small_file_that_replaces_another_is_sent_again_once_that_is_known(site: FaultySite) -> None:
    with serving(site.hasty) as service:
        service.request("PUT", "/8", data=SMALL)
        site.proxy.heal()
        service.request("PUT", "/8", data=SMALL[::-1])
    assert site.proxy.calls == {"PutObject": 2, "HeadObject": 1}
    assert get(site.direct, "8") == SMALL[::-1]


def test_a_redirect_costs_one_head(site: FaultySite) -> None:
    with site.direct.open("8", "w") as file:
        file.write(SMALL)
        file.set_digests({"sha-256": hashlib.sha256(SMALL).digest()})
    with serving(site.hasty, http=HttpOptions(sendfile="presigned")) as service:
        assert service.request("GET", "/8").status_code == 307
        assert site.proxy.calls == {"HeadObject": 1}
    verifying = site.archive(ArchiveOptions(verify_reads=True))
    site.proxy.heal()
    with serving(verifying, http=HttpOptions(sendfile="presigned")) as service:
        assert service.request("GET", "/8").content == SMALL
        assert site.proxy.calls == {"GetObject": 1}


def test_a_move_costs_no_more_than_it_needs(site: FaultySite, store: SeaweedFS) -> None:
    source = f"{site.prefix}/incoming/upload"
    store.client().put_object(**split(source), Body=SMALL)
    site.hasty.patch("8", source)
    assert get(site.direct, "8") == SMALL
    assert site.proxy.calls == {"HeadObject": 1, "CopyObject": 1, "DeleteObject": 1}


def test_parts_are_sent_with_their_md5_to_a_store_that_knows_no_other_checksum(
    site: FaultySite, store: SeaweedFS
) -> None:
    archive = site.archive(checksum_mode="when_required")
    site.proxy.heal()
    sums = []

    def note(call: Call) -> Answer:
        sums.append(call.headers["Content-MD5"])
        assert not [name for name in call.headers if name.lower().startswith("x-amz-checksum")]
        return call.forward()

    site.proxy.spoil("PutObject", note)
    site.proxy.spoil("UploadPart", note, times=3)
    put(archive, "7", SMALL)
    put(archive, "8", LARGE)
    parts = [SMALL, *(LARGE[begin : begin + PART] for begin in range(0, len(LARGE), PART))]
    assert sorted(sums) == sorted(base64.b64encode(hashlib.md5(part).digest()).decode() for part in parts)
    with pytest.raises(ClientError, match="BadDigest"):
        store.client().put_object(**split(archive.file("9").filepath), Body=SMALL, ContentMD5=sums[1])
