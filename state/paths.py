"""The state folder: `$ROAR_STATE_DIR`, else `$XDG_STATE_HOME/roar`, with a folder per publish below `publishes/`.

    publishes/<id>/journal.db       the checkpoints
    publishes/<id>/lock             who owns it
    publishes/<id>/claim            who asks the daemon to release it
    publishes/<id>/fingerprint.<…>  empty; its name says what was planned, to those that look for the same
    publishes/<id>/session-token    the only credential of an anonymous session, 0600, while that session is open
    publishes/<id>/put-record       what a put will write into roar.db, 0600, until it is written
    publishes/<id>/uploads/<n>      the store's name of a running upload, or when one was requested, 0600
    receipts/<hash>.<id>.json       the receipt of a publish, 0600; it stays when the publish is pruned
    key                             makes this user's session ids unguessable, 0600
    key.lock                        held while the key is made
    plan.lock                       held while the plan of a put is stored
    identities                      the identity of each SSH key at each registry, as last reported
    verify.db                       what an interrupted check of objects has read
    fetches/                        the journals of fetches
    repairs/                        a state folder for each running repair of a store
    daemon.lock                     which daemon runs
    daemon.sock                     wakes the daemon, 0600
    daemon.log                      the daemon's log, 0600

Folders are 0700.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.folder_owner import check_state_folder
from roar_publisher.state.lock import exclusively
from roar_publisher.state.private import (
    create_private,
    forget_private,
    make_private_folder,
    read_private,
    write_private,
)
from roar_publisher.state.reasons import Reason
from roar_publisher.state.system_errors import explain_os_error
from roar_publisher.state.xdg import base_folder

KEY_BYTES = 32
ID = re.compile(r"[0-9a-f]{8}")
"""The name of a publish's folder."""
PLANNING = re.compile(r"\.[0-9a-f]{8}")
"""The name of that folder before it is locked. Other processes do not take it for a publish."""
FINGERPRINT = "fingerprint."
"""How the name of the file begins that ends with the fingerprint of a plan."""


class PublishPaths(Struct, frozen=True):
    """The files of one publish."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def journal(self) -> Path:
        return self.folder / "journal.db"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def claim(self) -> Path:
        return self.folder / "claim"

    @property
    def session_token(self) -> Path:
        return self.folder / "session-token"

    def note_fingerprint(self, fingerprint: str) -> None:
        """Note what is planned, before the plan is frozen. It never changes.

        Imports have no note: those that look for the same open the journal.
        """
        create_private(self.folder / f"{FINGERPRINT}{fingerprint}")

    def notes_fingerprint(self, fingerprint: str) -> bool:
        """Return whether this plan is noted, frozen or about to be."""
        return os.path.exists(self.folder / f"{FINGERPRINT}{fingerprint}")

    def read_session_token(self) -> str | None:
        """Return the token of the open anonymous session, or None if there is no valid one."""
        with _state_problems(self.folder):
            content = read_private(self.session_token) or b""
        return content.decode("ascii").strip() or None if content.isascii() else None

    def write_session_token(self, token: str) -> None:
        """Store the token, readable by this user alone. Atomically replaces an older one."""
        with _state_problems(self.folder):
            write_private(self.session_token, token.encode("ascii"))

    def forget_session_token(self) -> None:
        """Remove the token. Harmless if there is none."""
        with _state_problems(self.folder):
            forget_private(self.session_token)

    def read_upload(self, number: int) -> str | None:
        """Return what `write_upload` stored about an object's upload, or None."""
        with _state_problems(self.folder):
            content = read_private(self._upload(number))
        return None if content is None else content.decode("utf-8")

    def write_upload(self, number: int, text: str) -> None:
        """Store the name of an upload, or when one was requested (`engine.staging.upload_journal`).

        Readable by this user alone: for some stores the name is a credential. Atomically replaces an older one.
        """
        with _state_problems(self.folder):
            self._upload(number).parent.mkdir(mode=0o700, exist_ok=True)
            write_private(self._upload(number), text.encode("utf-8"))

    def forget_upload(self, number: int) -> None:
        """Remove the name of an upload. Harmless if there is none."""
        with _state_problems(self.folder):
            forget_private(self._upload(number))

    def count_uploads(self) -> int:
        """Return how many running uploads are named by files here."""
        with _state_problems(self.folder):
            folder = self.folder / "uploads"
            return sum(path.name.isdecimal() for path in folder.iterdir()) if folder.is_dir() else 0

    def read_put_record(self) -> str | None:
        """Return what a put will write into roar.db, or None."""
        with _state_problems(self.folder):
            content = read_private(self._put_record)
        return None if content is None else content.decode("utf-8")

    def write_put_record(self, text: str) -> None:
        """Store what a put will write into roar.db. Private, because it is not redacted, like roar.db itself."""
        with _state_problems(self.folder):
            write_private(self._put_record, text.encode("utf-8"))

    def has_put_record(self) -> bool:
        """Return whether there is a put record."""
        with _state_problems(self.folder):
            return self._put_record.exists()

    def forget_put_record(self) -> None:
        """Remove the put record. Harmless if there is none."""
        with _state_problems(self.folder):
            forget_private(self._put_record)

    def has_receipt(self, lineage_hash: str) -> bool:
        """Return whether the receipt of this publish is complete on the disk."""
        with _state_problems(self.folder):
            return self.receipt(lineage_hash).is_file()

    def write_receipt(self, lineage_hash: str, content: bytes) -> None:
        """Store the receipt of this publish, complete or not at all, so that a loss of power does not undo it."""
        path = self.receipt(lineage_hash)
        with _state_problems(self.folder):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(path, content, durable=True)

    def receipt(self, lineage_hash: str) -> Path:
        """Return where the receipt of this publish is, once it is made."""
        return StateFolder.of(self).receipts / f"{lineage_hash}.{self.id}.json"

    @property
    def _put_record(self) -> Path:
        return self.folder / "put-record"

    def _upload(self, number: int) -> Path:
        return self.folder / "uploads" / str(number)


class StateFolder(Struct, frozen=True):
    """The folder that holds every publish of this user."""

    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "StateFolder":
        """Return `$ROAR_STATE_DIR`, else `$XDG_STATE_HOME/roar`, else `~/.local/state/roar`. Creates nothing.

        A relative XDG_STATE_HOME is ignored, as the XDG Base Directory Specification says. Raises UsageProblem if the
        folder is below the home folder of a user who has none, LocalProblem if it is not this user's alone.
        """
        root = cls._root(environ)
        check_state_folder(root)
        return cls(root)

    @classmethod
    def of(cls, paths: PublishPaths) -> "StateFolder":
        """Return the folder that holds a publish."""
        return cls(paths.folder.parents[1])

    @staticmethod
    def _root(environ: Mapping[str, str]) -> Path:
        chosen = environ.get("ROAR_STATE_DIR")
        if not chosen:
            return base_folder(environ, "XDG_STATE_HOME", ".local/state") / "roar"
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError as error:  # raised by pathlib if there is no such home
            what = f"ROAR_STATE_DIR={chosen} names the home folder of a user that does not exist"
            raise UsageProblem(what, next_step="set ROAR_STATE_DIR to a folder") from error

    @property
    def publishes(self) -> Path:
        return self.root / "publishes"

    @property
    def receipts(self) -> Path:
        return self.root / "receipts"

    @property
    def identities(self) -> Path:
        return self.root / "identities"

    @property
    def daemon_lock(self) -> Path:
        return self.root / "daemon.lock"

    @property
    def daemon_socket(self) -> Path:
        return self.root / "daemon.sock"

    @property
    def daemon_log(self) -> Path:
        return self.root / "daemon.log"

    @property
    def inspections(self) -> Path:
        """Where an interrupted inspection of objects keeps what it has read."""
        return self.root / "verify.db"

    @property
    def fetches(self) -> Path:
        """Where the journals of fetches are."""
        return self.root / "fetches"

    def new_planning(self) -> PublishPaths:
        """Make the folder of a new publish under a name that `all_publishes` skips until `make_visible`."""
        with _state_problems(self.root):
            self.make()
            folder = self.publishes / f".{os.urandom(4).hex()}"
            folder.mkdir(mode=0o700)
            return PublishPaths(folder)

    def make_visible(self, planning: PublishPaths) -> PublishPaths:
        """Rename the folder to its id. Its lock must be held: a folder without an owner belongs to a dead process."""
        with _state_problems(self.root):
            return PublishPaths(planning.folder.rename(self.publishes / planning.id.removeprefix(".")))

    def all_publishes(self) -> Iterator[PublishPaths]:
        """Yield every publish folder, with or without a finished plan, in no particular order."""
        with _state_problems(self.root):
            if self.publishes.is_dir():
                with os.scandir(self.publishes) as found:  # there may be thousands
                    names = [entry.name for entry in found if ID.fullmatch(entry.name) and entry.is_dir()]
                for name in names:
                    yield PublishPaths(self.publishes / name)

    def find(self, prefix: str) -> PublishPaths:
        """Return the publish whose id starts with `prefix`. Raises UsageProblem for none or several."""
        found = [paths for paths in self.all_publishes() if prefix and paths.id.startswith(prefix)]
        if len(found) != 1:
            what = f"{len(found)} publishes start with {prefix!r}" if found else f"there is no publish {prefix!r}"
            raise UsageProblem(what, next_step="roar journal list")
        return found[0]

    def user_key(self) -> bytes:
        """Return the key behind this user's `client_session_id`s. Creates it on first use.

        Concurrent processes get the same key: one creates it, completely or not at all, and the other waits.
        """
        path = self.root / "key"
        with _state_problems(self.root):
            self.make()
            key = read_private(path) or self._make_key(path)
        if len(key) < KEY_BYTES:
            raise LocalProblem(f"{path} is damaged", next_step=f"rm {path}", reason=Reason.STATE_DIRECTORY)
        return key

    def _make_key(self, path: Path) -> bytes:
        with exclusively(self.root / "key.lock"):
            key = read_private(path)
            if key is None:
                key = os.urandom(KEY_BYTES)
                write_private(path, key)
            return key

    def make(self) -> None:
        """Make the folder if it is missing. Raises OSError, and LocalProblem if another user has made it since."""
        make_private_folder(self.root)
        self.publishes.mkdir(mode=0o700, exist_ok=True)
        check_state_folder(self.root)


@contextmanager
def _state_problems(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = explain_os_error(error, Reason.STATE_DIRECTORY)
        raise LocalProblem(
            f"the state folder {root} cannot be used: {found.what}",
            next_step=f"{found.remedy}, or set ROAR_STATE_DIR to another folder",
            reason=found.reason,
            resumable=True,
        ) from error
