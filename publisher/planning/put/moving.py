"""A put that moves to another machine: its record without secrets, and its files found again by their digests."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from roar_publisher.lineage.redaction import Redactor
from roar_publisher.planning.put.record import PutRecord
from roar_publisher.state.errors import LocalProblem
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.source import Content

NOT_SEARCHED = frozenset({".git", ".roar"})
"""Folders that hold no file of a put under its own name."""


def redacted(record: PutRecord, redactor: Redactor) -> PutRecord:
    """The record without the secrets that would not be published either (`protocol.md §8`).

    Paths and addresses stay, as they do in the lineage: they say where things are.
    """

    def in_json(text: str) -> str:
        return json.dumps(redactor.value(json.loads(text)))

    label = redactor.value(record.label)
    assert isinstance(label, dict), "redaction keeps the shape"
    return replace(
        record,
        command=redactor.text(record.command),
        sent=in_json(record.sent),
        kept=in_json(record.kept),
        label=label,
        name=record.name and redactor.text(record.name),
        datasets=tuple(replace(one, sent=in_json(one.sent), kept=in_json(one.kept)) for one in record.datasets),
    )


@dataclass(frozen=True, slots=True)
class Move:
    """A project that was in the folder `was`, and is in the folder `now`."""

    was: Path
    now: Path

    def path(self, path: str) -> str:
        """Where a path of the project is now; one outside of it stays as it is."""
        return str(self.now / Path(path).relative_to(self.was)) if Path(path).is_relative_to(self.was) else path

    def content(self, content: Content) -> Content:
        """A file at its new place, as it was: whoever opens it finds out whether it is there."""
        return replace(content, path=self.path(content.path))


def moved(record: PutRecord, move: Move, found: Mapping[str, str]) -> PutRecord:
    """The record with the paths of this machine.  found: where the files are, by their paths there."""
    return replace(
        record,
        files=tuple(replace(file, path=found.get(file.path, move.path(file.path))) for file in record.files),
        datasets=tuple(replace(dataset, root=move.path(dataset.root)) for dataset in record.datasets),
        read=tuple((artifact, move.path(path)) for artifact, path in record.read),
    )


async def find_again(contents: Iterable[Content], move: Move, may_read: Callable[[str], bool]) -> dict[str, Content]:
    """The contents as they are on this machine, by their paths on the other; those that are not here are left out.

    Looked for at the same path, then at the same place in the project, then anywhere in the project by size and blake3.
    may_read: whether a path may be looked at: it was chosen elsewhere.  Every candidate is read once.  Repeating reads
    again; cancelling takes effect between two files.
    """
    search = _Search(move.now, may_read)
    found = {}
    for content in contents:
        near = dict.fromkeys((content.path, move.path(content.path)))
        here = await search.first(content, near) or await search.first(content, search.of_size(content.size))
        if here is not None:
            found[content.path] = here
    return found


class _Search:
    """Remembers what it read."""

    def __init__(self, root: Path, may_read: Callable[[str], bool]) -> None:
        self._root = root
        self._may_read = may_read
        self._by_size: dict[int, list[str]] | None = None  # the project's files, once they are asked for
        self._read: dict[tuple[str, bool], Content | None] = {}

    async def first(self, wanted: Content, paths: Iterable[str]) -> Content | None:
        """The first of the files that is this content."""
        for path in paths:
            if self._may_read(path) and _size_of(path) == wanted.size:
                content = await self._digest(path, md5=bool(wanted.md5))
                if content is not None and content.blake3 == wanted.blake3:
                    return content
        return None

    def of_size(self, size: int) -> list[str]:
        """The project's files of that size."""
        if self._by_size is None:
            self._by_size = {}
            for path in _files_below(self._root):
                self._by_size.setdefault(_size_of(path), []).append(path)
        return self._by_size.get(size, [])

    async def _digest(self, path: str, *, md5: bool) -> Content | None:
        key = (path, md5)
        if key not in self._read:
            try:
                self._read[key] = await digest_file(path, md5=md5)
            except LocalProblem:  # unreadable, or being written: not the file that is meant
                self._read[key] = None
        return self._read[key]


def _files_below(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(set(names) - NOT_SEARCHED)
        yield from (os.path.join(folder, name) for name in sorted(files))


def _size_of(path: str) -> int:
    """Bytes; -1 where nothing can be said of it."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return -1
