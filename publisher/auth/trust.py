"""The registries that this user trusts: the accepted origins, and the origin that issued roar's sign-in.

Stored in our own file beside roar's `auth.json`, whose format belongs to roar-cli:

    {"version": 1,
     "accepted": {"https://registry.example": "2026-01-31T12:00:00Z"},
     "sign_in": {"origin": "https://registry.example", "of": "<digest>"}}

`of` identifies the sign-in without containing any of it, because roar-cli may write another one at any time.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, field

from roar_publisher.auth.private_file import changed_alone
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.private import make_private_folder, write_private
from roar_publisher.state.reasons import Reason
from roar_publisher.state.shell import shell_word
from roar_publisher.state.system_errors import exhausted
from roar_publisher.state.xdg import base_folder

LARGEST_BYTES = 1024 * 1024
VERSION = 1
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Issuer(Struct, frozen=True):
    """The origin that issued a sign-in. sign_in: the `SignIn.digest` of that sign-in."""

    origin: str
    sign_in: str


class Trust(Struct, frozen=True):
    """The content of the file. accepted: maps origins to the time of acceptance (ISO 8601, UTC)."""

    accepted: Mapping[str, str] = field(default_factory=dict)
    issuer: Issuer | None = None


class TrustStore:
    """The file, read again for each query. Any number of processes may change it; each change is atomic."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], home: Path) -> "TrustStore":
        """Return this user's file."""
        return cls(base_folder(environ, "XDG_CONFIG_HOME", ".config", home) / "roar" / "registries.json")

    def read(self) -> Trust:
        """Return the content; empty if there is no file.

        Raises LocalProblem if the file cannot be read, is invalid, or can be changed by another user.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError):
            return Trust()
        except OSError as error:
            raise exhausted(error) or self._unusable(error.strerror or "it cannot be read") from None
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise self._unusable("it is not a regular file")
            if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_OTHERS:
                raise self._unusable("another user can change it")
            content = file.read(LARGEST_BYTES + 1)
        trust = _parse(content)
        if trust is None:
            raise self._unusable("it is not what this program writes")
        return trust

    def accept(self, origin: str, now: float) -> bool:
        """Store that this user accepts an origin. Return False if it was accepted before. Raises LocalProblem."""
        with self._changing() as trust:
            if origin in trust.accepted:
                return False
            when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._write(Trust({**trust.accepted, origin: when}, trust.issuer))
            return True

    def revoke(self, origin: str) -> bool:
        """Remove an origin, and that it issued the sign-in. Return False if it was unknown. Raises LocalProblem."""
        with self._changing() as trust:
            issuer = None if trust.issuer is not None and trust.issuer.origin == origin else trust.issuer
            accepted = {name: when for name, when in trust.accepted.items() if name != origin}
            if (accepted, issuer) == (dict(trust.accepted), trust.issuer):
                return False
            self._write(Trust(accepted, issuer))
            return True

    def record_issuer(self, issuer: Issuer) -> None:
        """Store which origin issued the sign-in. Raises LocalProblem."""
        if self.read().issuer == issuer:
            return
        with self._changing() as trust:
            self._write(Trust(trust.accepted, issuer))

    @contextmanager
    def _changing(self) -> Iterator[Trust]:
        with ExitStack() as held:
            try:
                make_private_folder(self.path.parent)
                held.enter_context(changed_alone(self.path))
            except OSError:
                raise self._unwritable("its folder is not writable") from None
            try:
                yield self.read()
            except OSError as error:
                raise self._unwritable(error.strerror or "it cannot be written") from None

    def _write(self, trust: Trust) -> None:
        document: dict[str, object] = {"version": VERSION, "accepted": dict(sorted(trust.accepted.items()))}
        if trust.issuer is not None:
            document["sign_in"] = {"origin": trust.issuer.origin, "of": trust.issuer.sign_in}
        # A link stays one: the file that it leads to is the user's, and what is removed there must not stay here.
        write_private(Path(os.path.realpath(self.path)), (json.dumps(document, indent=2) + "\n").encode())

    def _unwritable(self, why: str) -> LocalProblem:
        return LocalProblem(
            f"{self.path} cannot be written: {why}",
            kept="The file is as it was.",
            next_step=f"free some space and make {self.path.parent} writable, or name the registry: --registry URL",
            reason=Reason.DISK,
        )

    def _unusable(self, why: str) -> LocalProblem:
        return LocalProblem(
            f"{self.path}, which lists the registries that you trust, cannot be used: {why}",
            kept="Nothing was sent.",
            next_step=f"look at it (`ls -l {shell_word(str(self.path))}`), then correct or remove it",
            reason=Reason.CONFIG,
        )


def _parse(content: bytes) -> Trust | None:
    if len(content) > LARGEST_BYTES:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        return None
    accepted, sign_in = document.get("accepted", {}), document.get("sign_in")
    if not isinstance(accepted, dict) or not all(isinstance(when, str) for when in accepted.values()):
        return None
    if sign_in is None:
        return Trust(accepted)
    if not isinstance(sign_in, dict):
        return None
    origin, of = sign_in.get("origin"), sign_in.get("of")
    return Trust(accepted, Issuer(origin, of)) if isinstance(origin, str) and isinstance(of, str) else None
