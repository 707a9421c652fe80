"""Resolve sources as typed to the files that are uploaded, each with its key.

The rules are roar-cli's:

- A path is relative to the project's root, and is followed if it is a symlink.
- A file's key is its name; the files of a folder keep their paths below it.
- `@N` is what that step wrote; no source at all is what the session wrote.
- A digest is the file that roar recorded with that content.
- Below a folder, symlinks to files are followed and symlinks to folders are not. What is not a file (a pipe, a dangling
  link) is left out, and `put_planner` says which.

Unlike roar-cli, what is named `.git`, `.roar` or `.roar-fetch` is left out of a folder, however it is written: it is no
artifact, changes meanwhile, holds secrets, and is never fetched. Files that lead out of the project are refused
(`lineage.boundary`), unless they are in a folder outside that was typed.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from roar_publisher.lineage.artifacts import REMOTE_SOURCES
from roar_publisher.lineage.boundary import FOLLOW, find_escape, listed, real_path, refuse_escapes
from roar_publisher.lineage.database import RoarDatabase, open_database
from roar_publisher.lineage.selection import NOISE
from roar_publisher.lineage.targets import active_session
from roar_publisher.planning.put.left_out import is_left_out
from roar_publisher.planning.put.request import Digested, PutRequest, Snapshot, Source
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.source import FileChanged, file_stamp_without_links, shown
from roar_publisher.storage.store import RENAME, check_key

_STEP = re.compile(r"@(\d{1,9})")
_IN_STORES = tuple(f"{source}://" for source in sorted(REMOTE_SOURCES))
_DIGEST = re.compile(r"[0-9a-f]{8,64}", re.IGNORECASE)


LeftOut = Callable[[Path], None]
"""Called with each entry of a folder that is not stored."""


def resolve_sources(request: PutRequest, left_out: LeftOut = lambda path: None) -> tuple[Source, ...]:
    """Return the files to upload, in the order of the sources, below a folder in the order of their paths; each once.

    left_out: called with each folder entry that is not a file: links to folders, dangling links, pipes, sockets.

    Touches the disk (folders are walked) and reads roar.db. Raises UsageProblem for a source that matches nothing, has
    no files, whose files are gone, or that leads out of the project. Raises LocalProblem for what cannot be read, or a
    name that is not UTF-8.
    """
    root = request.project.root
    found: list[Source] = []
    with open_database(request.project.database) as database:
        if not request.sources:
            found.extend(_session_outputs(database))
        for typed, path in zip(request.sources, request.read_from, strict=True):
            resolved = _resolve(database, root, path, left_out)
            snapshot = request.snapshots.get(typed)
            found.extend(resolved if snapshot is None else _of_snapshot(root / typed, snapshot, resolved))
    sources = tuple(dict.fromkeys(found))
    for source in sources:
        _check(source)
    if not request.follow_links:
        _refuse_outside(root, request.read_from, sources)
    return sources


def _of_snapshot(original: Path, snapshot: Snapshot, sources: Iterable[Source]) -> Iterator[Source]:
    """Yield the sources of a snapshot with the paths of the original. Raises FileChanged if its files are others."""
    unseen = dict(snapshot.files)
    for source in sources:
        relative = source.key if source.root is not None else ""
        stamp = unseen.pop(relative, None)
        if stamp is None:
            raise FileChanged(str(original / relative))
        named = original / relative if relative else original
        yield replace(source, root=original if source.root is not None else None, named=named, stamp=stamp)
    if unseen:
        raise FileChanged(str(original / next(iter(unseen))))


def refuse_replaced(request: PutRequest, digested: Iterable[Digested]) -> None:
    """Raise an error for files that were read from outside the project although their paths led inside before.

    A process that still works in the project may replace a file or a folder with a link between the check and the
    reading. What is stored is what was read, because every part is compared with its digest. Raises the errors of
    `resolve_sources`, and FileChanged.
    """
    if request.follow_links:
        return
    read = list(digested)
    _refuse_outside(request.project.root, request.read_from, [one.source for one in read])
    for one in read:
        path = one.source.path
        try:
            now = file_stamp_without_links(Path(os.path.realpath(path, strict=True)))
        except OSError as error:
            raise FileChanged(str(path)) from error
        if not one.content.fence.admits(now):
            raise FileChanged(str(path))


def _refuse_outside(root: Path, typed: Sequence[str], sources: Iterable[Source]) -> None:
    """Refuse what leads out of the project, except below a path outside that was itself typed."""
    paths = [Path(os.path.abspath(root / one)) for one in typed if os.path.lexists(root / one)]
    real_root = real_path(root)
    inside = [real_root, *(real_path(path) for path in paths if not _passes_through(path, real_root))]
    try:
        # A typed link is itself checked, because the files behind it have other paths.
        found = [escape for path in paths if (escape := find_escape(path, inside))]
        found = found or [escape for source in sources if (escape := find_escape(source.path, inside))]
    except OSError as error:
        raise LocalProblem(f"{shown(str(error.filename))} cannot be read: {error}", reason=Reason.UNREADABLE) from error
    refuse_escapes(root, found, next_step=f"name the files, or the folder outside; or the same command with {FOLLOW}")


def _passes_through(path: Path, real_root: Path) -> bool:
    """Return whether a path goes through the project under any name; a home folder may be a link."""
    return any(real_path(step) == real_root for step in (path, *path.parents))


def _resolve(database: RoarDatabase, root: Path, typed: str, left_out: LeftOut) -> Iterable[Source]:
    step = _STEP.fullmatch(typed)
    if step is not None:
        return _step_outputs(database, typed, int(step[1]))
    try:
        path = (root / typed).resolve()
        if path.is_dir():
            return _below(path, typed, left_out)
        if path.exists():
            return [_regular(path, typed)]
    except OSError as error:
        raise LocalProblem(
            f"{shown(str(error.filename or path))} cannot be read: {error.strerror}",
            next_step="fix its permissions, or leave it out; then put again",
            reason=Reason.UNREADABLE,
        ) from error
    except (ValueError, RuntimeError) as error:  # RuntimeError: a cycle of symlinks
        raise LocalProblem(f"the source {shown(typed)} cannot be read: {error}", reason=Reason.UNREADABLE) from error
    if _DIGEST.fullmatch(typed):
        return [_by_digest(database, typed.lower())]
    raise UsageProblem(
        f"there is no {shown(typed)} to upload",
        next_step=f"name a file, a folder, `@N` or a digest; paths count from {shown(str(root))}",
    )


def _below(folder: Path, typed: str, left_out: LeftOut) -> list[Source]:
    """Return the files below a folder, sorted by path."""
    files = [Path(name) for name in _walk(str(folder), left_out)]
    if not files:
        raise UsageProblem(f"the folder {shown(typed)} has no files to upload")
    return [Source(path, path.relative_to(folder).as_posix(), folder) for path in sorted(files)]


def _walk(folder: str, left_out: LeftOut) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_left_out(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, left_out)
            elif _is_file(entry):
                yield entry.path
            else:
                left_out(Path(entry.path))


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether the entry leads to a file; False for a link to nothing or to itself."""
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def _regular(path: Path, typed: str) -> Source:
    if not path.is_file():
        raise UsageProblem(
            f"the source {shown(typed)} is neither a file nor a folder", next_step="name a file or a folder"
        )
    return Source(path, path.name)


def _step_outputs(database: RoarDatabase, typed: str, number: int) -> list[Source]:
    """Return what the latest run of a step wrote."""
    job = database.one(
        f"SELECT id FROM jobs WHERE session_id = ? AND step_number = ? AND job_type IS NOT 'build' ORDER BY {NOISE},"
        " timestamp DESC, id DESC",
        active_session(database).id,
        number,
    )
    if job is None:
        raise UsageProblem(f"the active session has no step {typed}", next_step="see its steps with `roar dag`")
    return _outputs(database, "j.id = ?", job[0], what=f"step {typed}")


def _session_outputs(database: RoarDatabase) -> list[Source]:
    return _outputs(database, "j.session_id = ?", active_session(database).id, what="the active session")


def _outputs(database: RoarDatabase, condition: str, parameter: object, *, what: str) -> list[Source]:
    rows = database.query(
        "SELECT CAST(coalesce(nullif(o.path, ''), a.first_seen_path, '') AS TEXT) FROM jobs j CROSS JOIN job_outputs o"
        f" ON o.job_id = j.id CROSS JOIN artifacts a ON a.id = o.artifact_id WHERE {condition}"
        " AND a.kind <> 'composite' ORDER BY j.step_number, j.timestamp, j.id, o.rowid",
        parameter,
    )
    # What a step wrote to a store is there already.
    paths = [Path(path) for (path,) in rows if not path.startswith(_IN_STORES)]
    if not paths:
        raise UsageProblem(f"{what} wrote no files on this machine", next_step="name the files or folders to upload")
    gone = [str(path) for path in dict.fromkeys(paths) if not _leads_to_file(path)]
    if gone:
        raise UsageProblem(
            f"{what} wrote files that no longer exist: {listed([shown(path) for path in gone])}",
            next_step="make them again, or name the files to upload",
        )
    return [Source(path, path.name) for path in paths]


def _by_digest(database: RoarDatabase, digest: str) -> Source:
    """Return the file that roar recorded with this content, where it was last written or read."""
    found = list(
        database.query(
            "SELECT artifact_id, digest FROM artifact_hashes WHERE algorithm = 'blake3' AND digest BETWEEN ? AND ?"
            " LIMIT 2",
            digest,
            digest + "g",  # nothing in hex sorts after "g"
        )
    )
    if not found:
        raise UsageProblem(
            f"{digest} is neither a file nor the blake3 digest of an artifact that roar knows",
            next_step="check the path, or name a step whose outputs to upload (@3)",
        )
    if len(found) > 1:
        raise UsageProblem(f"{digest} is the beginning of several artifacts' digests", next_step="type more of it")
    artifact, whole = found[0]
    for path in _recorded_paths(database, artifact):
        if _leads_to_file(path):
            return Source(path, path.name, digest=whole)
    raise UsageProblem(f"the artifact {digest} no longer exists as a file", next_step="name a copy of it by path")


def _leads_to_file(recorded: Path) -> bool:
    """Return whether there is a file at a path that roar recorded; False if this user may not look."""
    try:
        return recorded.is_file()
    except OSError:
        return False


def _recorded_paths(database: RoarDatabase, artifact: str) -> Iterator[Path]:
    """Yield the paths where an artifact was written, then where it was read; the latest first."""
    for table in ("job_outputs", "job_inputs"):
        for (path,) in database.query(
            f"SELECT CAST(l.path AS TEXT) FROM {table} l CROSS JOIN jobs j ON j.id = l.job_id WHERE l.artifact_id = ?"
            " ORDER BY j.timestamp DESC, j.id DESC",
            artifact,
        ):
            yield Path(path)


def _check(source: Source) -> None:
    """Raise UsageProblem or LocalProblem unless the key is valid and the path can be recorded."""
    check_key(source.key)
    try:
        str(source.path).encode()
    except UnicodeEncodeError as error:
        raise LocalProblem(
            f"the path {shown(str(source.path))} is not valid UTF-8", next_step=RENAME, reason=Reason.FILE_NAME
        ) from error
