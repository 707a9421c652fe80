"""The keys with which registries sign receipts, as this user knows them: pinned when a registry is first met.

Stored in our own file beside roar's `auth.json`, a line for each key, like OpenSSH's `known_hosts`:

    https://registry.example ssh-ed25519 AAAA… 2026-01-31T12:00:00Z

A key that is not in the file proves nothing offline. The user accepts it with `roar registry trust URL --receipt-keys`.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from roar_publisher.auth.private_file import changed_alone
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.private import make_private_folder, write_private
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import read_bounded
from roar_publisher.state.shell import shell_word
from roar_publisher.state.system_errors import exhausted
from roar_publisher.state.xdg import base_folder

LARGEST_BYTES = 1024 * 1024
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class KnownKey(Struct, frozen=True):
    """A key of a registry. origin: of the registry. public: as in a `.pub` file."""

    origin: str
    public: str


class KnownReceiptKeys:
    """The file, read again for each query. Any number of processes may add to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], home: Path) -> "KnownReceiptKeys":
        """Return this user's file."""
        return cls(base_folder(environ, "XDG_CONFIG_HOME", ".config", home) / "roar" / "receipt-keys")

    def all(self) -> list[KnownKey]:
        """Return every key. Lines that are none are ignored.

        Raises LocalProblem if the file cannot be read, or can be changed by another user.
        """
        keys = []
        for line in self._text().splitlines():
            match line.split():
                case [origin, kind, encoded, *_]:
                    keys.append(KnownKey(origin, f"{kind} {encoded}"))
        return keys

    def of(self, origin: str) -> set[str]:
        """Return the public keys of a registry. Raises as `all`."""
        return {each.public for each in self.all() if each.origin == origin}

    def add(self, origin: str, public: str, now: float) -> bool:
        """Store a key of a registry. Return False if it is known. now: Unix seconds. Raises LocalProblem."""
        with self._alone():
            if public in self.of(origin):
                return False
            self._append(origin, public, now)
            return True

    def meet(self, origin: str, public: str, now: float) -> bool:
        """Pin a key if it is the first one of its registry. Return whether it is believed. Raises as `add`."""
        if known := self.of(origin):
            return public in known
        with self._alone():
            known = self.of(origin)  # another process may have met one meanwhile
            if not known:
                self._append(origin, public, now)
            return not known or public in known

    def _append(self, origin: str, public: str, now: float) -> None:
        when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        target = Path(os.path.realpath(self.path))  # a link stays one
        write_private(target, f"{self._text()}{origin} {public} {when}\n".encode())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other process change the file during the block, and raise its OSError as LocalProblem."""
        try:
            make_private_folder(self.path.parent)
            with changed_alone(self.path):
                yield
        except OSError as error:
            raise LocalProblem(
                f"{self.path} cannot be written: {error.strerror}",
                kept="The file is as it was.",
                next_step=f"free some space, and make {self.path.parent} writable",
                reason=Reason.DISK,
            ) from None

    def _text(self) -> str:
        try:
            status = os.stat(self.path)
            content = read_bounded(self.path, LARGEST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            raise exhausted(error) or self._unusable(error.strerror or "it cannot be read") from None
        if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_OTHERS:
            raise self._unusable("another user can change it")
        text = content.decode("utf-8", errors="replace")
        return text if text.endswith("\n") or not text else f"{text}\n"

    def _unusable(self, why: str) -> LocalProblem:
        return LocalProblem(
            f"{self.path}, which lists the receipt keys that you trust, cannot be used: {why}",
            next_step=f"look at it (`ls -l {shell_word(str(self.path))}`), then correct or remove it",
            reason=Reason.CONFIG,
        )
