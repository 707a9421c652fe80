"""A process that may not open more files: a publish waits then, and is not left to the user."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.key_files import read_key_files
from roar_publisher.auth.private_file import translated
from roar_publisher.auth.receipt_keys import KnownReceiptKeys
from roar_publisher.auth.trust import TrustStore
from roar_publisher.lineage.toml_file import read_toml
from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.source import opened


def refuse(*_: object, **__: object) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(
    "read",
    [
        lambda path: BearerStore(path).current(),
        read_key_files,
        lambda path: TrustStore(path).read(),
        lambda path: KnownReceiptKeys(path).all(),
        read_toml,
        lambda path: opened(str(path)).__enter__(),
    ],
    ids=["sign-in", "key", "registries", "receipt keys", "configuration", "file of a put"],
)
def test_a_file_that_cannot_be_opened_now_needs_nobody(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(LocalProblem, match="this process cannot open more files") as problem:
        read(path)
    assert (problem.value.reason, problem.value.conclusion) == (Reason.TOO_MANY_FILES, Conclusion.INTERRUPTED)


@pytest.mark.parametrize(
    ("number", "reason", "remedy"),
    [
        (errno.ENOSPC, Reason.DISK_FULL, "free some disk space, then try again"),
        (errno.EDQUOT, Reason.DISK_FULL, "free some disk space, then try again"),
        (errno.EMFILE, Reason.TOO_MANY_FILES, "raise the limit (ulimit -n 1024), then try again"),
        (errno.ENFILE, Reason.TOO_MANY_FILES, "stop programs that have many files open, then try again"),
        (errno.ENOMEM, Reason.LOCAL, "stop programs that use a lot of it, then try again"),
        (errno.EACCES, Reason.DISK, "make /home writable, then try again"),
        (errno.EROFS, Reason.DISK, "make /home writable, then try again"),
        (errno.EIO, Reason.DISK, "make /home writable, then try again"),
    ],
)
def test_a_credential_that_cannot_be_stored_now_says_for_what_it_waits(
    number: int, reason: Reason, remedy: str
) -> None:
    """A daemon waits for room, and does not count that as an attempt, if it knows that the disk is full."""
    with pytest.raises(LocalProblem) as problem, translated(Path("/home/auth.json")):
        raise OSError(number, os.strerror(number))
    assert (problem.value.reason, problem.value.next_step) == (reason, remedy)
    assert problem.value.conclusion is Conclusion.INTERRUPTED


@pytest.mark.anyio
async def test_an_agent_that_cannot_be_asked_now_needs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anyio, "connect_unix", refuse)
    with pytest.raises(LocalProblem, match="this process cannot open more files"):
        await Agent("/socket").why_unavailable(b"key")
