"""Let a process be forked, as data loaders do, while other threads of it use SQLite or import modules.

A child has only the thread that forked. A mutex of SQLite that another thread held stays locked in the child, where the
next use of any database waits for it forever, and so does the import of a module that another thread was importing. A
transaction of another thread leaves locks that SQLite takes for the child's own. So a fork holds the mutexes that all
databases share, and waits for the transactions of journals and for imports of several modules at once.

The thread that forks holds these mutexes while other libraries' fork hooks run in it, and would wait for itself if it
used SQLite meanwhile. So nothing is collected then, and a signal handler of it gets them back for its block.
"""

import gc
import importlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Condition, get_ident
from types import ModuleType
from typing import Any

from msgspec import Struct, field

WAIT_SECONDS = 1.0
"""How long a fork waits at most. Some blocks read a whole journal, which can take longer."""
RETRY_SECONDS = 0.0005
STATIC_MUTEXES = range(2, 14)
"""`SQLITE_MUTEX_STATIC_MAIN` to `SQLITE_MUTEX_STATIC_VFS3`: those that do not belong to one database."""


class _Blocks(Struct):
    """The blocks that forks wait for.

    changed: guards the other fields. A fork holds its lock from its beginning to its end. The lock is reentrant,
    because a finalizer or a signal handler may begin or end a block in a thread that holds it.
    threads: in how many blocks each thread is.
    forking: the thread that forks.
    """

    changed: Condition = field(default_factory=Condition)
    threads: Counter[int] = field(default_factory=Counter)
    forking: int | None = None


_blocks = _Blocks()
_held: list[int] = []
"""The mutexes that a fork holds."""
_collecting = False
"""Whether garbage is to be collected again after the fork."""


@contextmanager
def forks_deferred() -> Iterator[None]:
    """Let forks by other threads wait for the end of the block, which should be short."""
    thread = get_ident()
    with _blocks.changed:
        # A fork waits for those that are in a block already. Its own thread gets here in a signal handler or finalizer.
        while _blocks.forking not in (None, thread) and not _blocks.threads[thread]:
            _blocks.changed.wait()
        _blocks.threads[thread] += 1
    interrupted = _blocks.forking == thread and bool(_held)
    if interrupted:
        _release_mutexes()
    try:
        yield
    finally:
        if interrupted:
            _hold_mutexes()
        with _blocks.changed:
            _blocks.threads[thread] -= 1
            if not _blocks.threads[thread]:
                del _blocks.threads[thread]
                _blocks.changed.notify_all()


def import_module(name: str) -> ModuleType:
    """Import a module and return it, as `importlib.import_module` does, while forks wait."""
    with forks_deferred():
        return importlib.import_module(name)


def _before() -> None:
    global _collecting
    _blocks.changed.acquire()
    _blocks.forking = get_ident()
    _blocks.changed.wait_for(lambda: not _blocks.threads.keys() - {get_ident()}, WAIT_SECONDS)
    _collecting = _collecting or gc.isenabled()
    gc.disable()
    _hold_mutexes()


def _after_in_parent() -> None:
    _release_mutexes()
    _collect_again()
    _blocks.forking = None
    _blocks.changed.notify_all()
    _blocks.changed.release()


def _after_in_child() -> None:
    """Forget the threads that the child does not have."""
    global _blocks
    _release_mutexes()
    _collect_again()
    thread = get_ident()
    _blocks = _Blocks(threads=Counter({thread: count} if (count := _blocks.threads[thread]) else {}))


def _collect_again() -> None:
    global _collecting
    if _collecting:
        _collecting = False
        gc.enable()


def _hold_mutexes() -> None:
    """Hold the mutexes that all databases share. None is held if that takes too long."""
    end = time.monotonic() + WAIT_SECONDS
    while not _try_mutexes() and time.monotonic() < end:
        time.sleep(RETRY_SECONDS)


def _try_mutexes() -> bool:
    """Hold all mutexes, or none of them: SQLite takes several of them in an order of its own."""
    for mutex in _mutexes():
        if _library().sqlite3_mutex_try(mutex):
            _release_mutexes()
            return False
        _held.append(mutex)
    return True


def _release_mutexes() -> None:
    while _held:
        _library().sqlite3_mutex_leave(_held.pop())


@cache
def _library() -> Any:
    """Return Python's SQLite, whose calls keep the interpreter's lock: none of those made here waits."""
    import _sqlite3
    import ctypes  # only where a process forks: it takes longer to import than a small request

    library = ctypes.PyDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_mutex_alloc.restype = ctypes.c_void_p
    library.sqlite3_mutex_try.argtypes = [ctypes.c_void_p]
    library.sqlite3_mutex_leave.argtypes = [ctypes.c_void_p]
    return library


@cache
def _mutexes() -> list[int]:
    """Return the mutexes that belong to no single database; none where Python's SQLite does not export them."""
    try:
        return [mutex for number in STATIC_MUTEXES if (mutex := _library().sqlite3_mutex_alloc(number))]
    except (ImportError, OSError, AttributeError):  # SQLite is a part of the interpreter, or there is no ctypes
        return []


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
