"""The addresses of the files of a put, as its job's metadata states them in few bytes (`protocol.md §9`).

The usual form has an address for each file, which takes about 80 bytes of the 100 kB that a registry reads of a job.
If that does not fit, folders stand for their files: below a recorded folder and below its address, paths are the same.
What does not follow from a folder is stated by its digest.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from roar_publisher.lineage.jsontext import encode, parse_json
from roar_publisher.lineage.redaction.values import is_marked

PUT = "put"
"""The type of a put job, and the name under which its metadata describes the put."""
ARTIFACTS, ADDRESSES = "artifacts", "addresses"
_FILE_URL = "file:"
"""Addresses whose paths are percent-encoded; the names of objects in a bucket are literal."""
_AFTER_SLASH = chr(ord("/") + 1)


class PutInput(NamedTuple):
    """An input of a put job. url: where it is stored; None for a dataset that was only read."""

    digest: str
    path: str
    url: str | None


def is_redacted(url: str) -> bool:
    """Return whether redaction has replaced a part of an address, so that it leads nowhere any more."""
    return is_marked(unquote(url))


class FolderAddresses:
    """Addresses of folders, which those of the files below them follow from."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._lengths: list[int] = []

    def set(self, folder: str, address: str) -> None:
        """Set the address of a folder; neither ends with a slash."""
        self._addresses[folder] = address
        place = bisect_left(self._lengths, len(folder))
        if self._lengths[place : place + 1] != [len(folder)]:
            insort(self._lengths, len(folder))

    def of(self, path: str) -> str | None:
        """Return the address of a path by that of the nearest folder above it, or None if there is none."""
        for length in reversed(self._lengths):
            if path[length : length + 1] == "/" and (address := self._addresses.get(path[:length])) is not None:
                rest = path[length:]
                return address + (quote(rest, errors="replace") if address.startswith(_FILE_URL) else rest)
        return None

    def as_pairs(self) -> list[tuple[str, str]]:
        """Return the folders with their addresses."""
        return list(self._addresses.items())


class StatedAddresses:
    """What the metadata of a put job (untrusted) states in the short form; nothing if it has another form."""

    def __init__(self, put: Mapping[str, object]) -> None:
        stated = put.get(ADDRESSES)
        folders, files = (stated.get("folders"), stated.get("files")) if isinstance(stated, dict) else (None, None)
        self._files = files if isinstance(files, dict) else {}
        self._folders = FolderAddresses()
        for pair in folders if isinstance(folders, list) else []:
            match pair:
                case [str() as folder, str() as address]:
                    self._folders.set(folder, address)

    def of(self, digest: str, path: str) -> str | None:
        """Return the address of an input, or None if it is not stated."""
        url = self._files[digest] if digest in self._files else self._folders.of(path)
        return url if isinstance(url, str) and url else None


def shortened_metadata(text: str | None, inputs: Iterable[tuple[str, str, str]]) -> str | None:
    """Return a put job's metadata with its addresses in the short form; as it is if it states none.

    inputs: each input's digest, path and id of its artifact.
    """
    value = parse_json(text)
    put = value.get(PUT) if isinstance(value, dict) else None
    urls = put.get(ARTIFACTS) if isinstance(put, dict) else None
    if not (isinstance(value, dict) and isinstance(put, dict) and isinstance(urls, dict) and urls):
        return text
    stored = (PutInput(digest, path, _text(urls.get(artifact))) for digest, path, artifact in inputs)
    return encode(value | {PUT: shortened(put, stored)})


def shortened(put: Mapping[str, object], inputs: Iterable[PutInput]) -> dict[str, object]:
    """Return the `put` metadata of a job with its addresses in the short form."""
    links: dict[str, PutInput] = {}
    for one in inputs:  # as registries do: of several paths with one digest, the smallest counts
        known = links.setdefault(one.digest, one)
        url = known.url if one.url is None else one.url
        links[one.digest] = PutInput(one.digest, min(known.path, one.path), url)
    folders = _folders([(link.path, link.url) for link in links.values() if link.url is not None])
    files = {link.digest: link.url for link in links.values() if folders.of(link.path) != link.url}
    return {**put, ARTIFACTS: {}, ADDRESSES: {"folders": folders.as_pairs(), "files": files}}


def _folders(stored: list[tuple[str, str]]) -> FolderAddresses:
    """Return the folders from which the addresses of most files (path, address) follow."""
    stored = sorted(stored)
    counts = Counter(pair for path, url in stored if (pair := _where_they_part(path, url)) is not None)
    folders = FolderAddresses()
    outermost_first = sorted(counts.items(), key=lambda item: (len(item[0][0]), -item[1], item[0]))
    for (folder, address), files in outermost_first:
        if files == 1:
            continue  # stating the file itself is as short
        first, end = (bisect_left(stored, (folder + mark,)) for mark in ("/", _AFTER_SLASH))
        if files > sum(folders.of(path) == url for path, url in stored[first:end]):  # else it would spoil more
            folders.set(folder, address)
    return folders


def _where_they_part(path: str, url: str) -> tuple[str, str] | None:
    """Return the folder and the address below which a path and its address are the same, or None without any."""
    names, segments = path.split("/"), url.split("/")
    read = unquote if url.startswith(_FILE_URL) else str
    same, most = 0, min(len(names), len(segments)) - 1
    while same < most and names[-1 - same] == read(segments[-1 - same]):
        same += 1
    return ("/".join(names[:-same]), "/".join(segments[:-same])) if same else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
