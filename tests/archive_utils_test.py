"""The headers of HEAD, as the documented function returns them."""

from pacifica.archiveinterface.archive_utils import file_status
from pacifica.archiveinterface.backends.abstract.residency import RecallState
from pacifica.archiveinterface.backends.posix.status import PosixStatus


def test_the_headers_of_a_file_that_is_there() -> None:
    status = PosixStatus(1473806059.29, 1473806060.5, (18,), 18)
    status.filepath = "/archive/39/odd name%\n\xe4!#$&'()*+,;:=@[]~"
    headers = {
        "X-Pacifica-Messsage": "File was found",
        "X-Pacifica-Message": "File was found",
        "X-Pacifica-File": "/archive/39/odd name%25%0A%C3%A4!#$&'()*+,;:=@[]~",
        "X-Content-Length": "18",
        "Last-Modified": "1473806059.29",
        "X-Pacifica-Ctime": "1473806060.5",
        "X-Pacifica-Bytes-Per-Level": "(18,)",
        "X-Pacifica-File-Storage-Media": "disk",
    }
    assert file_status(status) == headers
    status.recall = RecallState.QUEUED
    assert file_status(status) == {**headers, "X-Pacifica-Recall": "queued"}


def test_the_headers_of_a_file_that_is_not_there() -> None:
    assert file_status(None) == {
        "X-Pacifica-Messsage": "File Not found",
        "X-Pacifica-Message": "File Not found",
        "X-Pacifica-File": "File Not Found",
        "X-Content-Length": "File Not Found",
        "Last-Modified": "File Not Found",
        "X-Pacifica-Ctime": "File Not Found",
        "X-Pacifica-Bytes-Per-Level": "File Not Found",
        "X-Pacifica-File-Storage-Media": "File Not Found",
    }
