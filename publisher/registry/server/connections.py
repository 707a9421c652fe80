"""Limits on the number of connections, per client and in total.

If there is no room for a new connection, the one that has waited longest for its client is closed: one of the same
client, if that has its share already. A client that holds idle connections loses them first, and others can still
connect. A connection whose request is being processed is never closed for another.
"""

import resource
from collections import defaultdict
from typing import Protocol

DEFAULT_CONNECTIONS = 1024
"""Maximum connections in total, if there are enough file descriptors."""
CLIENT_SHARE = 4
"""One client may have one part in `CLIENT_SHARE` of all connections."""
RESERVED_DESCRIPTORS = 128
"""File descriptors for everything else: the store's files, the process's own, and connections that are being
accepted or closed and are not counted."""


class Closable(Protocol):
    """A connection, as the table uses it."""

    def evict(self) -> None:
        """Close at once."""


class ConnectionTable:
    """All open connections. Use it from the event loop's thread only.

    `maximum` is the number for all clients, `per_client` for each one.
    """

    def __init__(self, maximum: int, per_client: int | None = None) -> None:
        self.maximum = maximum
        self.per_client = per_client or max(1, maximum // CLIENT_SHARE)
        self._clients: dict[Closable, str] = {}
        self._counts: dict[str, int] = defaultdict(int)
        # Dictionaries keep insertion order, so the first entry has waited longest.
        self._waiting: dict[Closable, None] = {}
        self._waiting_of: dict[str, dict[Closable, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._clients)

    def admit(self, connection: Closable, client: str, *, bounded: bool = True) -> bool:
        """Add a connection, which then waits for its client. Return False if there is no room for it.

        `bounded` is False for a proxy, which holds the connections of many clients.
        """
        if bounded and self._counts[client] >= self.per_client:
            room = self._close_first(self._waiting_of[client])
        else:
            room = len(self) < self.maximum or self._close_first(self._waiting)
        if room:
            self._clients[connection] = client
            self._counts[client] += 1
            self.mark_waiting(connection)
        else:
            self._forget_if_gone(client)
        return room

    def mark_waiting(self, connection: Closable) -> None:
        """Mark a connection as waiting for its client. Repeating it changes nothing."""
        if (client := self._clients.get(connection)) is not None:
            self._waiting.setdefault(connection)
            self._waiting_of[client].setdefault(connection)

    def mark_busy(self, connection: Closable) -> None:
        """Mark a connection as working, because a whole request has arrived."""
        if (client := self._clients.get(connection)) is not None:
            self._waiting.pop(connection, None)
            self._waiting_of[client].pop(connection, None)

    def remove(self, connection: Closable) -> None:
        """Remove a closed connection. Repeating it does nothing."""
        self.mark_busy(connection)
        if (client := self._clients.pop(connection, None)) is not None:
            self._counts[client] -= 1
            self._forget_if_gone(client)

    def _close_first(self, waiting: dict[Closable, None]) -> bool:
        first = next(iter(waiting), None)
        if first is None:
            return False
        self.remove(first)
        first.evict()
        return True

    def _forget_if_gone(self, client: str) -> None:
        if not self._counts[client]:
            self._counts.pop(client, None)
            self._waiting_of.pop(client, None)


def allowed_connections(wanted: int) -> int:
    """Return how many of the wanted connections the file descriptors allow. The soft limit is raised if needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    needed = wanted + RESERVED_DESCRIPTORS
    if soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError):  # the system may have a lower limit that it does not report
            pass
    return max(1, min(wanted, soft - min(RESERVED_DESCRIPTORS, soft // 2)))
