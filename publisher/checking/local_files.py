"""Finding a local file with the digest of an object: where its put took it from, where roar saw it, in a folder."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from anyio import from_thread

from roar_publisher.blocking import in_thread
from roar_publisher.inspection.subjects import Subject
from roar_publisher.lineage.database import open_database
from roar_publisher.state.errors import PublisherError
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.source import Content

_PATHS = """
    SELECT coalesce(a.first_seen_path, '') FROM artifact_hashes h CROSS JOIN artifacts a ON a.id = h.artifact_id
    WHERE h.digest = ?
    UNION SELECT coalesce(o.path, '') FROM artifact_hashes h CROSS JOIN job_outputs o ON o.artifact_id = h.artifact_id
    WHERE h.digest = ?
"""


class LocalFiles:
    """The places to look in, in this order: the put's own path, those that roar.db names, and a folder.

    database: roar.db; relative paths in it are below its project. folder: searched with everything below it.
    """

    def __init__(self, database: Path | None, folder: Path | None) -> None:
        self._database = database
        self._folder = folder
        self._by_size: dict[int, list[Path]] | None = None
        self._digests: dict[Path, str] = {}

    async def find(self, subject: Subject, *, md5: bool) -> Content | None:
        """Return a file that has the digest now, by reading it, or None. md5: whether its MD5 is needed, too."""
        for places in (self._put_from, self._seen_by_roar, self._below_folder):
            for path in await in_thread(places, subject):
                if self._digests.get(path, subject.digest) != subject.digest:
                    continue
                try:
                    content = await digest_file(str(path), md5=md5)
                except PublisherError:  # gone, changing, or not allowed
                    continue
                self._digests[path] = content.blake3
                if content.blake3 == subject.digest:
                    return content
        return None

    def _put_from(self, subject: Subject) -> list[Path]:
        return [] if subject.content is None else [Path(subject.content.path)]

    def _below_folder(self, subject: Subject) -> list[Path]:
        sizes = {} if self._folder is None else self._sizes(self._folder)
        if subject.size is not None:
            return sizes.get(subject.size, [])
        return [path for paths in sizes.values() for path in paths]

    def _seen_by_roar(self, subject: Subject) -> list[Path]:
        if self._database is None:
            return []
        try:
            with open_database(self._database) as database:
                found = [str(row[0]) for row in database.query(_PATHS, subject.digest, subject.digest)]
        except PublisherError:
            return []
        project = self._database.parent.parent
        return [project / path for path in found if path and "\0" not in path]

    def _sizes(self, folder: Path) -> dict[int, list[Path]]:
        """Return the files below a folder, by size. Walks once; cancellation takes effect after a folder."""
        if self._by_size is None:
            sizes: dict[int, list[Path]] = {}
            for root, _folders, names in os.walk(folder):
                from_thread.check_cancelled()
                for path in (Path(root, name) for name in names):
                    with suppress(OSError):  # gone, or not allowed
                        found = path.lstat()
                        if stat.S_ISREG(found.st_mode):
                            sizes.setdefault(found.st_size, []).append(path)
            self._by_size = sizes
        return self._by_size
