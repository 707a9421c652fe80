"""A process is forked while other threads of it use SQLite or import modules: the child can do so, too."""

import gc
import importlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import roar_publisher
from roar_publisher.state import forks
from roar_publisher.state.forks import forks_deferred
from roar_publisher.state.journal_file import JournalFile
from tests.support.processes import environment

MEMORY, FILES = 3, 11
"""`SQLITE_MUTEX_STATIC_MEM` and `SQLITE_MUTEX_STATIC_VFS1`."""
HUNG_SECONDS = 20
"""After which a child ends that waits for what nobody releases."""


def forked(work: Callable[[], object]) -> int:
    """Return the exit code of a forked child that does some work; -SIGALRM if it hung."""
    child = os.fork()
    if child == 0:
        signal.alarm(HUNG_SECONDS)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def thread_in(block: Callable[[], Any]) -> Iterator[Callable[[], None]]:
    """Have another thread in a block, until the function that this gives is called."""
    begun, end = threading.Event(), threading.Event()

    def run() -> None:
        with block():
            begun.set()
            end.wait()

    def leave() -> None:
        end.set()
        thread.join()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    try:
        yield leave
    finally:
        leave()


@contextmanager
def mutex_held(number: int) -> Iterator[None]:
    library = forks._library()
    mutex = library.sqlite3_mutex_alloc(number)
    assert library.sqlite3_mutex_try(mutex) == 0
    try:
        yield
    finally:
        library.sqlite3_mutex_leave(mutex)


@pytest.mark.parametrize("number", [MEMORY, FILES])
def test_a_child_gets_no_mutex_that_another_thread_holds(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    with thread_in(lambda: mutex_held(number)) as leave:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            leave()

        monkeypatch.setattr("roar_publisher.state.forks.time.sleep", pause)
        assert forked(lambda: sqlite3.connect(tmp_path / "database").execute("CREATE TABLE t (x)")) == 0
    assert len(pauses) == 1


def test_a_fork_waits_for_a_transaction_of_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    wait_for = forks._blocks.changed.wait_for
    with JournalFile(path) as file, thread_in(file.transaction) as leave:

        def leaving(condition: Callable[[], bool], timeout: float) -> bool:
            threading.Thread(target=leave).start()  # it has to wait for the lock that this thread holds here
            return wait_for(condition, timeout)

        monkeypatch.setattr(forks._blocks.changed, "wait_for", leaving)
        assert forked(lambda: JournalFile(path).db.execute("CREATE TABLE of_the_child (x)")) == 0


SLOW = """
import builtins, threading
builtins.begun.set()
builtins.end.wait()
"""


def test_a_fork_waits_for_an_import_of_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, end = threading.Event(), threading.Event()
    (tmp_path / "imported_slowly.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.begun", begun, raising=False)
    monkeypatch.setattr("builtins.end", end, raising=False)
    wait_for = forks._blocks.changed.wait_for

    def ending(condition: Callable[[], bool], timeout: float) -> bool:
        end.set()
        return wait_for(condition, timeout)

    thread = threading.Thread(target=forks.import_module, args=("imported_slowly",))
    thread.start()
    begun.wait()
    monkeypatch.setattr(forks._blocks.changed, "wait_for", ending)
    try:
        assert forked(lambda: __import__("imported_slowly")) == 0
    finally:
        end.set()
        thread.join()


def test_forks_wait_for_the_import_behind_a_public_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which imports most of the package, in the thread that publishes first."""
    waits: list[bool] = []
    import_module = importlib.import_module

    def importing(name: str) -> ModuleType:
        waits.append(bool(forks._blocks.threads))
        return import_module(name)

    monkeypatch.setattr(importlib, "import_module", importing)
    assert callable(roar_publisher.__getattr__("publish"))
    assert waits == [True]


def test_a_fork_does_not_wait_for_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks._blocks.changed, "wait", lambda timeout=None: pytest.fail("it waits"))

    def uses_blocks() -> None:
        with forks_deferred():
            pass

    with forks_deferred(), forks_deferred():
        assert forked(uses_blocks) == 0
    assert not forks._blocks.threads


def test_a_signal_handler_of_the_thread_that_forks_does_not_wait_for_the_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the fork waits for other threads, nor while it holds SQLite's mutexes, as other hooks run then."""

    def is_interrupted() -> None:
        def handle_signal(*_: object) -> bool:
            JournalFile(tmp_path / "waiting.db").close()
            return True

        monkeypatch.setattr(forks._blocks.changed, "wait_for", handle_signal)
        forks._before()
        assert forks._held
        JournalFile(tmp_path / "holding.db").close()
        assert forks._held
        forks._after_in_parent()
        assert not forks._held
        handle_signal()

    assert forked(is_interrupted) == 0


COLLECTS = """
import gc, os, signal, sqlite3, sys
to_free = [sqlite3.connect(":memory:")]

def leave_garbage():
    if to_free:
        cycle = [to_free.pop()]
        cycle.append(cycle)
        del cycle
    return [[] for _ in range(10_000)]

os.register_at_fork(**{sys.argv[1]: leave_garbage})
import roar_publisher.state.forks
gc.set_threshold(1, 1, 1)
signal.alarm(int(sys.argv[2]))
child = os.fork()
signal.alarm(int(sys.argv[2]))
if not child:
    os._exit(0 if gc.isenabled() else 2)
assert gc.isenabled()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_nothing_is_collected_while_a_fork_holds_the_mutexes(hook: str) -> None:
    """SQLite takes them to free a connection. Hooks of other libraries, which allocate, run while they are held."""
    command = [sys.executable, "-c", COLLECTS, hook, str(HUNG_SECONDS)]
    assert subprocess.run(command, env=environment(), check=False).returncode == 0


def test_a_collector_that_is_switched_off_stays_so() -> None:
    gc.disable()
    try:
        assert forked(lambda: os._exit(2 if gc.isenabled() else 0)) == 0
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_finalizer_may_use_a_block_at_any_moment() -> None:
    def finalize() -> None:
        with forks._blocks.changed, forks_deferred():
            pass

    thread = threading.Thread(target=finalize, daemon=True)
    thread.start()
    thread.join(HUNG_SECONDS)
    assert not thread.is_alive()


def test_a_fork_waits_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "WAIT_SECONDS", 0.0)

    def forks_again() -> None:
        forks.WAIT_SECONDS = 10.0 * HUNG_SECONDS
        assert forked(lambda: None) == 0, "the child has no other thread to wait for"

    with thread_in(forks_deferred):
        assert forked(forks_again) == 0
    with thread_in(lambda: mutex_held(MEMORY)):
        assert forked(lambda: None) == 0


def test_no_block_begins_while_a_fork_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[bool] = []
    wait = forks._blocks.changed.wait

    def enter() -> None:
        with forks_deferred():
            entered.append(True)

    def waiting(timeout: float | None = None) -> bool:
        if timeout is None:  # the thread that wants to enter waits
            threading.Thread(target=leave).start()
        elif not late.is_alive() and late.ident is None:  # the fork waits
            late.start()
        return wait(timeout)

    late = threading.Thread(target=enter)
    monkeypatch.setattr(forks, "WAIT_SECONDS", 10.0 * HUNG_SECONDS)
    monkeypatch.setattr(forks._blocks.changed, "wait", waiting)
    with thread_in(forks_deferred) as leave:
        assert forked(lambda: os._exit(2 if entered else 0)) == 0
        late.join()
    assert entered == [True]
