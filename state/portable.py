"""Moving a publish to another machine: it is packed into one file here and unpacked there.

    journal.db   a consistent copy of the journal, which never holds a credential
    put-record   what a put will write into roar.db, as passed by the caller

The file contains neither the session's token, nor the names of uploads (some are credentials), nor this user's key.
Without the token, the other machine opens another session; what an upload had sent is sent again.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from msgspec import Struct

from roar_publisher.state.bundle import Bundle, damaged, write_bundle
from roar_publisher.state.disk_space import MIN_ROOM_BYTES
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.foreign_journal import copy_foreign_journal
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import LIVE
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.private import create_private
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan
from roar_publisher.state.schema import is_full
from roar_publisher.state.system_errors import explain_os_error

JOURNAL, RECORD = "journal.db", "put-record"
COPIES = 3
"""What an import writes at most, in sizes of the bundle: the journal as it came, as it is kept, and SQLite's undo."""
RECORD_BYTES = 64 * 1024 * 1024
"""Bytes that the record of a put may have in any case."""
RECORD_SHARE = 4
"""What it may have otherwise, in sizes of the journal, which names each file, too. JSON escapes treble a path."""


class UnpackedPublish(Struct, frozen=True):
    """A publish from a bundle. This process owns it, and no other process sees it yet.

    record: what a put will write into roar.db; None for other publishes.
    """

    paths: PublishPaths
    journal: Journal
    record: str | None


def pack(paths: PublishPaths, journal: Journal, record: str | None, file: Path) -> int:
    """Write the publish to `file` (mode 0600), completely or not at all. Returns its size in bytes.

    The caller must own the publish. Raises UsageProblem if the file exists, LocalProblem if it cannot be written.
    """
    copy = paths.folder / "export"  # a killed export leaves it behind; the next one removes it
    try:
        copy.unlink(missing_ok=True)
        create_private(copy)
        journal.copy_for_export(copy)
        with copy.open("rb") as content:
            members: dict[str, IO[bytes]] = {JOURNAL: content}
            if record is not None:
                members[RECORD] = BytesIO(record.encode())
            return write_bundle(file, paths.id, members)
    finally:
        copy.unlink(missing_ok=True)


@contextmanager
def unpacked(file: Path, folder: StateFolder) -> Iterator[UnpackedPublish]:
    """Unpack the publish in `file`. It exists when the block ends; if the block raises, nothing is left.

    If the process is killed in between, a folder without a journal is left. A repeated import takes it over, and
    `prune` removes it. Raises UsageProblem if the file does not exist or the publish is here already, Owned if another
    process is importing it, LocalProblem if the file is damaged or from a newer release, or the publish cannot be
    stored.
    """
    with Bundle.opened(file, {JOURNAL, RECORD}) as bundle:
        if JOURNAL not in bundle.files:
            raise damaged(file)
        paths = PublishPaths(folder.publishes / bundle.publish_id)
        with _state_folder_problems(folder), _new_folder(folder, paths):
            _check_room(paths.folder, bundle)
            foreign, new = paths.folder / "journal.foreign", paths.folder / "journal.db.new"
            create_private(foreign)
            with foreign.open("wb") as out:
                for piece in bundle.pieces(JOURNAL):
                    out.write(piece)
            record = _text(bundle) if RECORD in bundle.files else None
            with _foreign_journal(file, foreign, new, paths.id) as journal:
                yield UnpackedPublish(paths, journal, record)
            new.with_name("journal.db.new-journal").unlink(missing_ok=True)
            new.replace(paths.journal)


def _text(bundle: Bundle) -> str:
    if bundle.files[RECORD].size > max(RECORD_BYTES, RECORD_SHARE * bundle.files[JOURNAL].size):
        raise damaged(bundle.file)
    try:
        return b"".join(bundle.pieces(RECORD)).decode()
    except UnicodeDecodeError as error:
        raise damaged(bundle.file) from error


@contextmanager
def _new_folder(folder: StateFolder, paths: PublishPaths) -> Iterator[None]:
    """The publish's own folder, locked; gone again if the block raises."""
    folder.make()
    paths.folder.mkdir(mode=0o700, exist_ok=True)
    _refuse_known(paths)
    with Lock(paths.lock):
        _refuse_known(paths)  # another import may have been faster
        try:
            yield
        except BaseException:
            shutil.rmtree(paths.folder, ignore_errors=True)
            raise


def _refuse_known(paths: PublishPaths) -> None:
    if paths.journal.exists():
        raise UsageProblem(
            f"publish {paths.id} is on this machine already",
            kept="It is unchanged.",
            next_step=f"roar journal show {paths.id}",
        )


def _check_room(folder: Path, bundle: Bundle) -> None:
    """Raise LocalProblem if the disk has no room for the bundle's contents, their copy and a reserve."""
    needed = COPIES * bundle.size + MIN_ROOM_BYTES
    if shutil.disk_usage(folder).free < needed:
        raise LocalProblem(
            f"the disk has no room for what {bundle.file} holds: {needed:,} bytes are needed in {folder.parent}",
            kept="Nothing was imported.",
            next_step="free some disk space and import it again",
            reason=Reason.DISK_FULL,
        )


@contextmanager
def _foreign_journal(file: Path, foreign: Path, new: Path, publish_id: str) -> Iterator[Journal]:
    """Copy the journal at `foreign` to `new`, and read it once in full, because it is untrusted."""
    try:
        for left in (new, new.with_name("journal.db.new-journal")):  # left by a killed import
            left.unlink(missing_ok=True)
        copy_foreign_journal(foreign, new)
        journal = Journal(new)
    except (ValueError, sqlite3.Error) as error:  # ValueError also if SQLite's message is not UTF-8
        if isinstance(error, sqlite3.Error) and is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise damaged(file) from error
    foreign.unlink()
    with journal:
        try:
            fitting = _readable(journal).id == publish_id
        except (LocalProblem, TypeError, ValueError, KeyError, RecursionError) as error:
            raise damaged(file) from error
        if not fitting:
            raise damaged(file)
        yield journal


def _readable(journal: Journal) -> Plan:
    """Return the plan after reading everything that is read later. Raises ValueError if it cannot be an export."""
    if journal.progress().state not in LIVE:
        raise ValueError("not a journal that was exported")
    journal.queue.read()
    journal.history()
    journal.units.tally()
    journal.objects.all()
    return journal.plan()


@contextmanager
def _state_folder_problems(folder: StateFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = explain_os_error(error, Reason.STATE_DIRECTORY)
        raise LocalProblem(
            f"the state folder {folder.root} cannot be used: {found.what}",
            kept="Nothing was imported.",
            next_step=f"{found.remedy}, or set ROAR_STATE_DIR to another folder",
            reason=found.reason,
        ) from error
