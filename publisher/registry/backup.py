"""A backup of a registry: a tar file with the lineages, the accounts, the secret, and the keys that sign receipts.

The lineages are copied first. Accounts that are added meanwhile are in the backup without their lineages, which is
harmless; the other way round, a lineage could be without its owner.
"""

import fcntl
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from roar_publisher.registry.data import SECRET_SIZE
from roar_publisher.registry.receipt_keys import RECEIPT_KEYS_NAME
from roar_publisher.registry.store import accounts_schema, schema
from roar_publisher.registry.store.copies import check_copy, copy_file, kept_from_registries
from roar_publisher.registry.store.errors import DataExists, InvalidBackup, RestoreRuns, StoreError
from roar_publisher.registry.store.private_data import (
    ACCOUNTS_NAME,
    LINEAGES_NAME,
    SECRET_NAME,
    make_private_file,
    secure_folder,
    sync_folder,
)

MEMBERS = (SECRET_NAME, ACCOUNTS_NAME, LINEAGES_NAME)
"""The files of a backup, in the order in which they are restored."""
IF_THERE = (RECEIPT_KEYS_NAME,)
"""Files that a registry, or the backup of an older release, may not have."""
_DRAFT = ".roar-backup-"
"""How the names of folders begin in which a backup is made. Each is locked as long as this lasts."""
_ABANDONED_SECONDS = 60.0
"""Age from which a folder without a lock is abandoned. A new one is locked at once, but not in the same moment."""
_UNPACKED = ".restore-"
"""How the names of folders begin that a backup is unpacked into."""
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file. It belongs to this file alone."""


def make_backup(data: Path, file: Path, copy_lineages: Callable[[Path], None]) -> None:
    """Write a backup of the registry in `data`, complete or not at all. Only its owner can read it.

    `copy_lineages` copies the lineages to a new file. Raises `StoreError` and OSError.
    """
    beside = file.absolute().parent
    with draft_folder(beside) as parts:
        copy_lineages(parts / LINEAGES_NAME)
        copy_file(data / ACCOUNTS_NAME, parts / ACCOUNTS_NAME)
        _copy_private(data / SECRET_NAME, parts / SECRET_NAME)
        further = [name for name in IF_THERE if (data / name).exists()]
        for name in further:
            _copy_private(data / name, parts / name)
        for name in MEMBERS:
            _check(parts, name)
        draft = parts / "backup"
        make_private_file(draft)
        with draft.open("wb") as written:
            with tarfile.open(fileobj=written, mode="w") as archive:
                for name in (*MEMBERS, *further):
                    archive.add(parts / name, name)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(file)
        sync_folder(beside)


def restore_backup(file: Path, data: Path, *, force: bool) -> None:
    """Put a backup into `data`, after it was checked. With `force`, it takes the place of what is there.

    If this is interrupted, repeat it, with `force` if some files were put there. Raises `StoreError`: `DataInUse` if a
    registry runs there, `RestoreRuns` if another restore does, `DataExists` if there is one and `force` is not set,
    `InvalidBackup`, and `NewerSchemaError` for the backup of a later release. Raises OSError.
    """
    made = not data.exists()
    secure_folder(data)
    try:
        with _alone(data):
            _restore(file, data, force=force)
    except BaseException:
        if made:
            with suppress(OSError):
                data.rmdir()
        raise


def _restore(file: Path, data: Path, *, force: bool) -> None:
    with _replacing(data, force=force):
        pass  # before the backup is unpacked, which takes minutes if it is large
    for left in data.glob(f"{_UNPACKED}*"):  # by a restore that was killed: a copy of everything, keys included
        shutil.rmtree(left)
    with TemporaryDirectory(dir=data, prefix=_UNPACKED) as folder:
        parts = Path(folder)
        _unpack(file, parts)
        try:
            for name in MEMBERS:
                _check(parts, name)
        except StoreError as error:
            if type(error) is not StoreError:  # for which the file is not at fault
                raise
            raise InvalidBackup(f"{file} is damaged: {error}") from error
        with _replacing(data, force=force):
            for name in MEMBERS:
                for beside in _BESIDE:
                    (data / f"{name}{beside}").unlink(missing_ok=True)
                (parts / name).replace(data / name)
            for name in IF_THERE:
                if (parts / name).exists():
                    (parts / name).replace(data / name)
        sync_folder(data)


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Let no other backup be restored into `data` during the block: it would take this one for abandoned."""
    with ExitStack() as held:
        try:
            held.enter_context(_locked(data))
        except BlockingIOError as error:
            raise RestoreRuns(f"another backup is being restored into {data}") from error
        except OSError:  # folders cannot be locked there
            pass
        yield


@contextmanager
def _replacing(data: Path, *, force: bool) -> Iterator[None]:
    """Keep registries from starting in `data` during the block. Raises as `restore_backup`."""
    with kept_from_registries(data / LINEAGES_NAME):
        if not force and any((data / name).exists() for name in MEMBERS):
            raise DataExists("there is a registry already; --force replaces it")
        yield


@contextmanager
def draft_folder(place: Path) -> Iterator[Path]:
    """Give a folder in `place` for the parts of a backup, until the block ends. Remove those that were abandoned there.

    Raises OSError.
    """
    _remove_abandoned(place)
    with TemporaryDirectory(dir=place, prefix=_DRAFT) as folder, ExitStack() as held:
        with suppress(OSError):  # where folders cannot be locked, nobody can lock this one to remove it, either
            held.enter_context(_locked(Path(folder)))
        yield Path(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder until the block, or the process, ends. Raises OSError, which also says that another one has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed backups left in a folder: copies of everything, keys included."""
    for left in folder.glob(f"{_DRAFT}*"):
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime > _ABANDONED_SECONDS:
                with _locked(left):
                    shutil.rmtree(left)


def _unpack(file: Path, folder: Path) -> None:
    try:
        content = file.open("rb")
    except OSError as error:
        raise InvalidBackup(f"{file} cannot be read: {error.strerror}") from error
    try:
        with content, tarfile.open(fileobj=content, mode="r:") as archive:
            for name in (*MEMBERS, *(name for name in IF_THERE if name in archive.getnames())):
                source = archive.extractfile(archive.getmember(name))
                if source is None:
                    raise InvalidBackup(f"{file} is no backup: {name} in it is no file")
                make_private_file(folder / name)
                with (folder / name).open("wb") as written:
                    shutil.copyfileobj(source, written)
                    written.flush()
                    os.fsync(written.fileno())
    except (tarfile.TarError, KeyError) as error:
        raise InvalidBackup(f"{file} is no backup of a registry, or damaged: {error}") from error


def _check(folder: Path, name: str) -> None:
    if name == SECRET_NAME:
        if (folder / name).stat().st_size != SECRET_SIZE:
            raise StoreError(f"{name} is damaged")
    else:
        check_copy(folder / name, schema.MIGRATIONS if name == LINEAGES_NAME else accounts_schema.MIGRATIONS)


def _copy_private(source: Path, target: Path) -> None:
    make_private_file(target)
    target.write_bytes(source.read_bytes())
