"""The socket at which the daemon is woken: for this user alone, and for nothing but waking."""

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from anyio import to_thread

from roar_publisher.daemon import wake as wake_module
from roar_publisher.daemon.wake import ANSWER, serve, wake
from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import StateFolder
from tests.support.daemon.daemons import until
from tests.support.processes import environment
from tests.support.threads import no_more_threads

NOBODY_UID = 65534
LONGEST_UNIX_PATH = 108

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def daemon(folder: StateFolder) -> AsyncIterator[list[str]]:
    """Provide a listener that can be woken; the list grows by one each time."""
    folder.root.mkdir(parents=True, exist_ok=True)
    woken: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, folder, lambda: woken.append("woken"))
        await to_thread.run_sync(until, lambda: folder.daemon_socket.is_socket() and wake(folder))
        woken.clear()
        yield woken
        tasks.cancel_scope.cancel()


async def wakes(folder: StateFolder) -> bool:
    return await to_thread.run_sync(wake, folder)


def connected(folder: StateFolder) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(str(folder.daemon_socket))
    return connection


async def test_a_wake_up_is_received_and_answered(folder: StateFolder) -> None:
    async with daemon(folder) as woken:
        assert await wakes(folder)
        assert await wakes(folder)
        assert len(woken) == 2


async def test_without_a_daemon_no_one_answers(folder: StateFolder) -> None:
    assert not await wakes(folder)
    folder.root.mkdir(parents=True)
    assert not await wakes(folder)


async def test_a_daemon_that_does_not_answer_yet_runs_all_the_same(folder: StateFolder) -> None:
    folder.root.mkdir(parents=True)
    with Lock(folder.daemon_lock):
        assert await to_thread.run_sync(wake, folder)
    assert not await to_thread.run_sync(wake, folder)


async def test_the_socket_is_private_and_removed_afterwards(folder: StateFolder) -> None:
    async with daemon(folder):
        assert stat.S_IMODE(folder.daemon_socket.stat().st_mode) == 0o600
    assert not folder.daemon_socket.exists()
    assert not await wakes(folder)


async def test_a_socket_that_a_killed_daemon_left_behind_is_replaced(folder: StateFolder) -> None:
    folder.root.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder.daemon_socket))
    assert folder.daemon_socket.exists()
    assert not await wakes(folder)
    async with daemon(folder) as woken:
        assert await wakes(folder)
        assert len(woken) == 1


async def test_another_file_in_place_of_the_socket_is_replaced(folder: StateFolder) -> None:
    folder.root.mkdir(parents=True)
    folder.daemon_socket.write_text("not a socket")
    assert not await wakes(folder)
    async with daemon(folder):
        assert await wakes(folder)


async def test_a_path_that_is_longer_than_a_socket_may_have(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux has a short way to a long path")
    folder = StateFolder(tmp_path / ("long" * 20) / ("longer" * 20) / "state")
    assert len(os.fsencode(folder.daemon_socket)) > LONGEST_UNIX_PATH
    async with daemon(folder) as woken:
        assert await wakes(folder)
        assert len(woken) == 1
    assert not folder.daemon_socket.exists()


@pytest.mark.parametrize("said", [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"x" * 100_000])
async def test_data_sent_to_the_socket_is_ignored(folder: StateFolder, said: bytes) -> None:
    async with daemon(folder) as woken:
        with connected(folder) as connection:
            connection.setblocking(False)
            try:
                connection.send(said)
            except OSError:
                pass  # it has hung up already
            await anyio.sleep(0.05)
        assert await wakes(folder)
        assert len(woken) == 2


async def test_a_client_that_hangs_up_or_never_reads_disturbs_no_other(folder: StateFolder) -> None:
    async with daemon(folder) as woken:
        silent = [connected(folder) for _ in range(20)]
        connected(folder).close()
        assert await wakes(folder)
        assert len(woken) >= 2
        for connection in silent:
            assert await to_thread.run_sync(connection.recv, 100) == ANSWER
            assert await to_thread.run_sync(connection.recv, 100) == b""
            connection.close()


@pytest.fixture
def open_folder() -> Iterator[StateFolder]:
    """A state folder that other users may enter, as if nothing but the kernel's word about a peer kept them out."""
    with TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield StateFolder(Path(name))


async def test_another_user_is_refused(open_folder: StateFolder) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can try as another user")
    folder = open_folder
    async with daemon(folder) as woken:
        folder.daemon_socket.chmod(0o666)
        connect = (
            "import os, socket, sys\n"
            f"os.setgid({NOBODY_UID}); os.setuid({NOBODY_UID})\n"
            "connection = socket.socket(socket.AF_UNIX); connection.settimeout(60)\n"
            f"connection.connect({str(folder.daemon_socket)!r})\n"
            "sys.stdout.write(repr(connection.recv(100)))"
        )
        done = await to_thread.run_sync(
            lambda: subprocess.run(
                [sys.executable, "-c", connect], env=environment(), capture_output=True, text=True, timeout=120
            )
        )
        assert done.stdout == "b''", done.stderr
        assert not woken
        assert await wakes(folder)
        assert len(woken) == 1


async def test_a_socket_that_cannot_be_created_is_an_error(folder: StateFolder) -> None:
    folder.root.mkdir(parents=True)
    folder.daemon_socket.mkdir()
    with pytest.raises(OSError):  # noqa: PT011  it is a directory, in the words of each system
        await serve(folder, lambda: None)


def fail_once(monkeypatch: pytest.MonkeyPatch, function: str) -> list[str]:
    """Let sockets fail in this function for lack of a file descriptor, once; the list says that it happened."""
    real = getattr(socket.socket, function)
    failed: list[str] = []

    def fails(connection: socket.socket, *arguments: Any, **more: Any) -> Any:
        if not failed:
            failed.append(function)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(connection, *arguments, **more)

    monkeypatch.setattr(socket.socket, function, fails)
    return failed


async def test_a_daemon_without_a_descriptor_for_a_client_answers_once_there_is_one(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_module, "ACCEPT_PAUSE_SECONDS", 0.0)
    async with daemon(folder) as woken:
        failed = fail_once(monkeypatch, "_accept")
        assert await wakes(folder)
        assert failed
        assert len(woken) == 1


async def test_a_process_without_a_descriptor_for_the_socket_still_sees_the_daemon(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.root.mkdir(parents=True)
    with Lock(folder.daemon_lock):
        failed = fail_once(monkeypatch, "__init__")
        assert await wakes(folder)
        assert failed


async def test_the_socket_of_a_later_daemon_is_not_removed(folder: StateFolder) -> None:
    """A daemon notices only after a while that its folder was removed, and another one may run there by then."""
    earlier, over = anyio.CancelScope(), anyio.Event()

    async def serve_earlier() -> None:
        with earlier:
            await serve(folder, lambda: None)
        over.set()

    folder.root.mkdir(parents=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_earlier)
        await to_thread.run_sync(until, lambda: folder.daemon_socket.is_socket() and wake(folder))
        folder.daemon_socket.unlink()
        async with daemon(folder) as woken:
            earlier.cancel()
            await over.wait()
            assert await wakes(folder)
            assert len(woken) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio keeps idle threads beyond a test
async def test_a_socket_that_cannot_be_created_for_lack_of_a_thread_is_an_error_too(folder: StateFolder) -> None:
    folder.root.mkdir(parents=True)
    with no_more_threads(), pytest.raises(OSError, match="may not start more threads"):
        await serve(folder, lambda: None)
