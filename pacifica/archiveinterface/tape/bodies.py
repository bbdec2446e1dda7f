"""The bodies of requests to the tape API, as the wishes of the recall service.

A body that is malformed is refused as a whole; a path that no file of the archive can have is an error of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..exception import BodyTooLargeError, FileIdError, RequestError
from ..recalls.requests import Wish
from .options import TapeOptions
from .times import seconds_of

_LONGEST_PATH = 4096  # characters; each poll repeats it

PathOf = Callable[[str], object]
"""Raises FileIdError for what is not the id of a file."""


class Bodies:
    """Reads the bodies, each given as JSON was parsed. Raises RequestError, which names the wrong field."""

    def __init__(self, path_of: PathOf, options: TapeOptions, most_files: int) -> None:
        """Check ids with *path_of*; a request may have *most_files*."""
        self._path_of, self._most_files = path_of, most_files
        self._root = urlsplit(options.public_url).path
        self._addressees = (options.sitename, "default")

    def files(self, content: object) -> list[Wish]:
        """Return what the body of a stage request wishes, each path once. Raises BodyTooLargeError."""
        files = _list_in(content, "files")
        if len(files) > self._most_files:
            raise BodyTooLargeError(f"a request has at most {self._most_files} files")
        wishes = {}
        for number, file in enumerate(files):
            wish = self._file(f"files[{number}]", file)
            wishes[wish.path] = wish
        return list(wishes.values())

    def paths(self, content: object) -> list[Wish]:
        """Return the files that the body of another request names, each path once."""
        if isinstance(content, Mapping) and "paths" not in content and "files" in content:  # as EOS takes it, too
            files = _list_in(content, "files")
            return self._named(_path_in(f"files[{number}]", file) for number, file in enumerate(files))
        paths = _list_in(content, "paths")
        return self._named(_path(f"paths[{number}]", path) for number, path in enumerate(paths))

    def some_paths(self, content: object) -> list[Wish]:
        """Return as many of the files that the body names as a request may have."""
        return self.paths(content)[: self._most_files]

    def id_of(self, path: str) -> str | None:
        """Return the id that the *path* of a file means, None for none."""
        return self._wish(path).file_id

    def _named(self, paths: Iterable[str]) -> list[Wish]:
        return [self._wish(path) for path in dict.fromkeys(paths)]

    def _file(self, name: str, file: object) -> Wish:
        wish = self._wish(_path_in(name, file))
        assert isinstance(file, Mapping)
        lifetime = file.get("diskLifetime")
        if lifetime is not None:
            wish = wish._replace(lifetime=_lifetime(f"{name}.diskLifetime", lifetime))
        metadata = file.get("targetedMetadata")
        if metadata is not None:
            wish = wish._replace(activity=self._activity(_object(f"{name}.targetedMetadata", metadata)))
        return wish

    def _wish(self, path: str) -> Wish:
        try:
            file_id = self._file_id(path)
            self._path_of(file_id)
        except FileIdError as error:
            return Wish(path, None, error=str(error))
        return Wish(path, file_id)

    def _file_id(self, path: str) -> str:
        if not path.startswith("/"):
            raise FileIdError("a path begins with a slash")
        try:
            path.encode()
        except UnicodeEncodeError:
            raise FileIdError("a path has no surrogates") from None
        whole = f"/{path.strip('/')}"
        if whole.startswith(f"{self._root}/"):
            whole = whole[len(self._root) :]
        return whole.lstrip("/")

    def _activity(self, metadata: Mapping[str, Any]) -> str:
        """Return the activity for this site in *metadata*; what is meant for others is never refused."""
        for addressee in self._addressees:
            own = metadata.get(addressee)
            activity = own.get("activity") if isinstance(own, Mapping) else None
            if isinstance(activity, str):
                return activity
        return ""


def _list_in(content: object, name: str) -> list[object]:
    found = _object("the body", content).get(name)
    if not isinstance(found, list) or not found:
        raise RequestError(f"{name} does not exist or is not a non-empty array")
    return found


def _path_in(name: str, file: object) -> str:
    return _path(f"{name}.path", _object(name, file).get("path"))


def _object(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RequestError(f"{name} is not an object")
    return value


def _path(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise RequestError(f"{name} is not a string")
    if len(value) > _LONGEST_PATH:
        raise RequestError(f"{name} has more than {_LONGEST_PATH} characters")
    return value


def _lifetime(name: str, value: object) -> float:
    seconds = seconds_of(value) if isinstance(value, str) else None
    if seconds is None:
        raise RequestError(f"{name} is not an ISO 8601 duration, for example P1DT12H")
    return seconds
