"""The headers in which HEAD tells the status of a file."""

from urllib.parse import quote

from ...backends.abstract.status import AbstractStatus

NOT_FOUND = "File Not Found"


def file_status(status: AbstractStatus | None) -> dict[str, str]:
    """Return HEAD's headers for *status*, or those of a HEAD that fails for None.

    cartd reads all of them and fails when one is missing, so a failed HEAD has them all.
    """
    if status is None:
        names = (
            "X-Pacifica-File",
            "X-Content-Length",
            "Last-Modified",
            "X-Pacifica-Ctime",
            "X-Pacifica-Bytes-Per-Level",
            "X-Pacifica-File-Storage-Media",
        )
        return {**_message("File Not found"), **dict.fromkeys(names, NOT_FOUND)}
    return {
        **_message("File was found"),
        # A plain name may hold anything but slash and NUL; a header line may not.
        "X-Pacifica-File": quote(status.filepath, safe="/!#$&'()*+,;:=@[]~ "),
        "X-Content-Length": str(status.filesize),
        "Last-Modified": str(status.mtime),
        "X-Pacifica-Ctime": str(status.ctime),
        "X-Pacifica-Bytes-Per-Level": str(tuple(status.bytes_per_level)),  # a Python tuple, sic
        "X-Pacifica-File-Storage-Media": status.file_storage_media,
        **({"X-Pacifica-Recall": status.recall.value} if status.recall.is_under_way else {}),
    }


def _message(text: str) -> dict[str, str]:
    # Three s, sic: the documented header, and the one that was meant.
    return {"X-Pacifica-Messsage": text, "X-Pacifica-Message": text}
