"""Removal of expired sessions with their staged data, discarded graphs, unused quota rows, and free pages.

It runs while the registry serves, in slices of one transaction each. Other requests run in between, so none waits for
the deletion of another's gigabytes. A slice that is lost is repeated.
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from roar_publisher.registry.lineages.sessions import discard_graph
from roar_publisher.registry.store.quotas import forget_unused

logger = logging.getLogger(__name__)

SLICE_ROWS = 500
"""Maximum rows of each table that one slice deletes."""
SLICE_PAGES = 200
"""Maximum pages, of 4 KiB each, that one slice returns to the operating system."""
KEPT_PAGES = 256
"""Free pages that are kept for the next writes."""
INCREMENTAL = 2
"""`PRAGMA auto_vacuum` of a file that can shrink incrementally."""
INTERVAL_SECONDS = 60.0
"""Seconds from the end of one round to the next."""
PAUSE_SECONDS = 0.02
"""Seconds between two slices of a round."""
_OF_FIRST_JOBS = f"job_id IN (SELECT id FROM jobs WHERE graph_id = ? ORDER BY uid LIMIT {SLICE_ROWS})"
_GRAPH_TABLES = (
    ("links", ("job_id", "kind", "digest"), _OF_FIRST_JOBS),
    ("view_edges", ("job_id", "relation", "target_hash"), _OF_FIRST_JOBS),
    ("jobs", ("id",), "graph_id = ? ORDER BY uid"),
    ("artifacts", ("id",), "graph_id = ?"),
    ("labels", ("graph_id", "entity_type", "entity", "version"), "graph_id = ?"),
    ("job_aliases", ("graph_id", "uid"), "graph_id = ?"),
)
"""Table, key and condition for the data of a graph, in the order of deletion. Deleting a job cascades to its links,
so these, which may be a million, are deleted first."""


class Write(Protocol):
    """Runs an operation in a transaction, like `service.Service.write`."""

    def __call__(self, operation: Callable[[sqlite3.Connection, float], bool], now: float, /) -> Awaitable[bool]: ...


async def sweep_forever(write: Write, clock: Callable[[], float]) -> None:
    """Sweep until cancelled. Cancellation does not interrupt a running slice. `clock` returns Unix seconds.

    Errors of the store (a full disk) are logged, and the next round tries again.
    """
    while True:
        try:
            more = await write(sweep_slice, clock())
        except sqlite3.Error as error:
            logger.error("what has expired cannot be put away now: %s", error)
            more = False
        await anyio.sleep(PAUSE_SECONDS if more else INTERVAL_SECONDS)


def sweep_slice(connection: sqlite3.Connection, now: float) -> bool:
    """Sweep one slice. Return False if nothing is left to do."""
    return (
        _expire(connection, now)
        or _delete_discarded(connection)
        or forget_unused(connection, now, SLICE_ROWS)
        or _give_back(connection)
    )


def _expire(connection: sqlite3.Connection, now: float) -> bool:
    expired = connection.execute(
        "DELETE FROM sessions WHERE id IN"
        " (SELECT id FROM sessions WHERE receipt IS NULL AND expires_at <= ? LIMIT ?) RETURNING graph_id",
        (now, SLICE_ROWS),
    ).fetchall()
    for (graph_id,) in expired:
        discard_graph(connection, graph_id)
    return bool(expired)


def _delete_discarded(connection: sqlite3.Connection) -> bool:
    discarded = connection.execute("SELECT graph_id FROM discarded_graphs LIMIT 1").fetchone()
    if discarded is None:
        return False
    for table, key, place in _GRAPH_TABLES:
        columns, values = ", ".join(key), ", ".join("?" * len(key))
        piece = connection.execute(
            f"SELECT {columns} FROM {table} WHERE {place} LIMIT {SLICE_ROWS}", tuple(discarded)
        ).fetchall()
        connection.executemany(f"DELETE FROM {table} WHERE ({columns}) = ({values})", piece)
        if len(piece) == SLICE_ROWS:
            return True  # there may be more
    connection.execute("DELETE FROM discarded_graphs WHERE graph_id = ?", tuple(discarded))
    connection.execute("DELETE FROM graphs WHERE id = ?", tuple(discarded))
    return True


def _give_back(connection: sqlite3.Connection) -> bool:
    if _pages(connection, "auto_vacuum") != INCREMENTAL:
        return False
    surplus = _pages(connection, "freelist_count") - KEPT_PAGES
    if surplus <= 0:
        return False
    for _ in range(min(surplus, SLICE_PAGES)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # the sqlite3 module runs only one step for a larger number
    return surplus > SLICE_PAGES


def make_shrinkable(connection: sqlite3.Connection) -> None:
    """Let the file return free pages. A file of an earlier release is rewritten once, if there is room.

    Call it outside any transaction, and before a new file gets its tables.
    """
    if _pages(connection, "auto_vacuum") == INCREMENTAL:
        return
    connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        logger.warning("free pages of the store will not be given back to the system: %s", error)


def _pages(connection: sqlite3.Connection, pragma: str) -> int:
    (value,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(value)
