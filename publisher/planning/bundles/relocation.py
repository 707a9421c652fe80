"""Move a publish to another machine: its record without secrets, its files by digest, its jobs in roar.db."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.lineage.database import open_database
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.planning.put.record import PutRecord
from roar_publisher.state.errors import LocalProblem
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.source import Content

NOT_SEARCHED = frozenset({".git", ".roar"})
"""Folders that are not searched for a put's files."""


def redact_record(record: PutRecord, redactor: Redactor) -> PutRecord:
    """Return the record without the secrets that would not be published either (`protocol.md §8`).

    Paths and addresses stay, as they do in the lineage, because they say where things are.
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


class ProjectMove(Struct, frozen=True):
    """The folder of a project on the other machine, and its folder on this one."""

    old: Path
    new: Path

    def path(self, path: str) -> str:
        """Return where a path of the project is now; a path outside of it stays as it is."""
        return str(self.new / Path(path).relative_to(self.old)) if Path(path).is_relative_to(self.old) else path

    def content(self, content: Content) -> Content:
        """Return the content of a file under its new path; whether the file exists is not checked."""
        return replace(content, path=self.path(content.path))


def relocate_record(record: PutRecord, move: ProjectMove, found: Mapping[str, str]) -> PutRecord:
    """Return the record with the paths of this machine. found: the files' paths here, by their paths on the other."""
    return replace(
        record,
        files=tuple(replace(file, path=found.get(file.path, move.path(file.path))) for file in record.files),
        datasets=tuple(replace(dataset, root=move.path(dataset.root)) for dataset in record.datasets),
        read=tuple((artifact, move.path(path)) for artifact, path in record.read),
    )


async def locate_files(
    contents: Iterable[Content], move: ProjectMove, may_read: Callable[[str], bool]
) -> dict[str, Content]:
    """Return the contents as they are on this machine, by their paths on the other; missing ones are left out.

    A file is searched at the same path, then at the same place in the project, then anywhere in the project by size and
    blake3.

    may_read: whether a path may be read; the bundle's sender chose it.

    Every candidate is read once. Repeating reads again; cancelling takes effect between two files.
    """
    search = _Search(move.new, may_read)
    found = {}
    for content in contents:
        expected = dict.fromkeys((content.path, move.path(content.path)))
        here = await search.first(content, expected) or await search.first(content, search.of_size(content.size))
        if here is not None:
            found[content.path] = here
    return found


class _Search:
    """Looks for files by size and digest; reads each file at most once."""

    def __init__(self, root: Path, may_read: Callable[[str], bool]) -> None:
        self._root = root
        self._may_read = may_read
        self._by_size: dict[int, list[str]] | None = None  # the project's files, None until they are needed
        self._read: dict[tuple[str, bool], Content | None] = {}

    async def first(self, wanted: Content, paths: Iterable[str]) -> Content | None:
        """Return the first of the files that has this content, or None."""
        for path in paths:
            if self._may_read(path) and _size_of(path) == wanted.size:
                content = await self._digest(path, md5=bool(wanted.md5))
                if content is not None and content.blake3 == wanted.blake3:
                    return content
        return None

    def of_size(self, size: int) -> list[str]:
        """Return the project's files of that size."""
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
            except LocalProblem:  # unreadable, or being written: not the wanted file
                self._read[key] = None
        return self._read[key]


def has_any_job(database: Path, jobs: Iterable[tuple[str, float]]) -> bool:
    """Return whether any of the jobs, as (uid, timestamp), was captured in `database`; False if that is unknown.

    One is enough, because a roar.db is copied as a whole. The timestamp is compared because uids are short.
    """
    try:
        with open_database(database) as rows:
            wanted = "SELECT 1 FROM jobs WHERE job_uid = ? AND timestamp = ?"
            return any(rows.one(wanted, uid, timestamp) is not None for uid, timestamp in jobs)
    except LocalProblem:
        return False


def _files_below(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(set(names) - NOT_SEARCHED)
        yield from (os.path.join(folder, name) for name in sorted(files))


def _size_of(path: str) -> int:
    """Return the size in bytes, or -1 if it is unknown."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return -1
