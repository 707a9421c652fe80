"""Removal of expired sessions with their data, discarded graphs, unused quota rows, and free pages.

It runs while the registry serves, in slices of one transaction each. Other requests run in between, so none waits for
the deletion of another's gigabytes. A slice that is lost is repeated.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

import anyio

from roar_publisher.registry.accounts.limits import MINUTE
from roar_publisher.registry.accounts.quotas import DRAIN_SECONDS
from roar_publisher.registry.lineages.fragments import KEPT_SECONDS
from roar_publisher.registry.store import anonymous_use, body_rates, fragments
from roar_publisher.registry.store.database import Connection, Operation
from roar_publisher.registry.store.errors import StoreError
from roar_publisher.registry.store.files import return_pages
from roar_publisher.registry.store.graphs import count_discarded, delete_discarded, discard_graph
from roar_publisher.registry.store.sessions import Staged, count_staged, delete_expired
from roar_publisher.registry.store.sessions import count_expired as count_sessions

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

SLICE_ROWS = 500
"""Maximum rows of each table that one slice deletes."""
SLICE_BATCHES = 100
"""Maximum fragments' batches, of up to 100 kB each, that one slice deletes."""
SLICE_PAGES = 200
"""Maximum pages, of 4 KiB each, that one slice returns to the operating system."""
KEPT_PAGES = 256
"""Free pages that are kept for the next writes."""
INTERVAL_SECONDS = 60.0
"""Seconds from the end of one round to the next."""
PAUSE_SECONDS = 0.02
"""Seconds between two slices of a round."""


class Write(Protocol):
    """Runs an operation in a transaction, like `service.RegistryService.write`."""

    def __call__(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


async def sweep_forever(
    write: Write,
    clock: Callable[[], float],
    swept: Callable[[], None] = lambda: None,
    counted: Callable[[Staged], None] = lambda staged: None,
) -> None:
    """Sweep until cancelled. Cancellation does not interrupt a running slice. `clock` returns Unix seconds. `swept`
    is called after each slice that removed something, `counted` with what is staged after each round.

    Errors, of the store (a full disk) or any other (no thread can be started), are logged, and the next round tries
    again: nobody would start this anew.
    """
    while True:
        try:
            more = await write(sweep_slice, clock())
            if not more:
                counted(await write(count_staged, clock()))
        except Exception as error:
            logger.error("cannot delete expired data now: %s", error, exc_info=not isinstance(error, StoreError))
            more = False
        if more:
            swept()
        await anyio.sleep(PAUSE_SECONDS if more else INTERVAL_SECONDS)


def sweep_slice(connection: Connection, now: float) -> bool:
    """Sweep one slice. Return False if nothing is left to do."""
    return (
        _expire(connection, now)
        or delete_discarded(connection, SLICE_ROWS)
        or fragments.delete_expired(connection, now - KEPT_SECONDS, SLICE_BATCHES)
        or anonymous_use.delete_older(connection, now - DRAIN_SECONDS, SLICE_ROWS)
        or body_rates.delete_older(connection, now - MINUTE, SLICE_ROWS)
        or return_pages(connection, kept=KEPT_PAGES, limit=SLICE_PAGES)
    )


def count_expired(connection: Connection, now: float) -> dict[str, int]:
    """Count what sweeping would remove: expired sessions, graphs that were discarded before, fragment sessions."""
    return {
        "sessions": count_sessions(connection, now),
        "staged": count_discarded(connection),
        "fragment_sessions": fragments.count_expired(connection, now - KEPT_SECONDS),
    }


def _expire(connection: Connection, now: float) -> bool:
    graphs = delete_expired(connection, now, SLICE_ROWS)
    for graph_id in graphs:
        discard_graph(connection, graph_id)
    return bool(graphs)
