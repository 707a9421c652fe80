"""Takes ownership of a publish in order to change it, from the daemon if necessary."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from roar_publisher.state.errors import Owned
from roar_publisher.state.lock import Lock, owner
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish

RELEASE_SECONDS = 10.0
"""How long the daemon may take to checkpoint a publish and release it."""
POLL_SECONDS = 0.05


@contextmanager
def take_over(
    paths: PublishPaths,
    folder: StateFolder,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[OwnedPublish]:
    """Own the publish for the duration of the block. The daemon leaves it alone meanwhile.

    Raises Owned if another terminal works on it or the daemon does not release it in time, LocalProblem if its
    journal cannot be read. clock: seconds on a monotonic clock.
    """
    try:
        owned = OwnedPublish.open(paths)
    except Owned:
        if not _held_by_daemon(paths, folder):
            raise
    else:
        with owned:
            yield owned
        return
    with Lock(paths.claim), _wait_for_release(paths, folder, clock, sleep) as owned:
        yield owned


def _wait_for_release(
    paths: PublishPaths, folder: StateFolder, clock: Callable[[], float], sleep: Callable[[float], None]
) -> OwnedPublish:
    """Wait until the daemon, which sees the claim, has released the publish."""
    from roar_publisher.daemon.wake import wake

    wake(folder)
    until = clock() + RELEASE_SECONDS
    while True:
        try:
            return OwnedPublish.open(paths)
        except Owned:
            if clock() >= until:
                raise
            sleep(POLL_SECONDS)


def _held_by_daemon(paths: PublishPaths, folder: StateFolder) -> bool:
    daemon = owner(folder.daemon_lock)
    return daemon is not None and owner(paths.lock) in (daemon, None)
