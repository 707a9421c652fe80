"""How many connections there may be: of one client, and in all.

Where there is no room for a new one, the connection that has waited longest for its client is closed for it: one of
the same client, if that has its share already.  Whoever holds connections without using them loses them first, and
others still get in.  A connection whose request is being worked on is never closed for another.
"""

import resource
from collections import defaultdict
from typing import Protocol

DEFAULT_CONNECTIONS = 1024
"""Connections in all, where the descriptors suffice."""
SHARE = 4
"""One client may have this part of all connections."""
RESERVED_DESCRIPTORS = 128
"""Descriptors for everything else: the store's files, the process's own, and connections that are being accepted or
closed and do not count."""


class Closable(Protocol):
    """A connection as the table sees it."""

    def give_way(self) -> None:
        """Close at once."""


class ConnectionTable:
    """Every open connection; owned by the event loop's thread.

    in_all, per_client: how many there may be.
    """

    def __init__(self, in_all: int, per_client: int | None = None) -> None:
        self.in_all = in_all
        self.per_client = per_client or max(1, in_all // SHARE)
        self._clients: dict[Closable, str] = {}
        self._counts: dict[str, int] = defaultdict(int)
        # Dictionaries keep the order in which their keys came: the first has waited longest.
        self._waiting: dict[Closable, None] = {}
        self._waiting_of: dict[str, dict[Closable, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._clients)

    def admit(self, connection: Closable, client: str, *, bounded: bool = True) -> bool:
        """Add a connection, which waits for its client; False where there is no room for it.

        bounded: False for a proxy, which has all connections of its clients.
        """
        if bounded and self._counts[client] >= self.per_client:
            room = self._close_first(self._waiting_of[client])
        else:
            room = len(self) < self.in_all or self._close_first(self._waiting)
        if room:
            self._clients[connection] = client
            self._counts[client] += 1
            self.waits(connection)
        else:
            self._forget_if_gone(client)
        return room

    def waits(self, connection: Closable) -> None:
        """From now on the connection waits for its client.  Said again, nothing changes."""
        if (client := self._clients.get(connection)) is not None:
            self._waiting.setdefault(connection)
            self._waiting_of[client].setdefault(connection)

    def works(self, connection: Closable) -> None:
        """A whole request is here: from now on its client waits."""
        if (client := self._clients.get(connection)) is not None:
            self._waiting.pop(connection, None)
            self._waiting_of[client].pop(connection, None)

    def remove(self, connection: Closable) -> None:
        """The connection is closed.  Repeating it does nothing."""
        self.works(connection)
        if (client := self._clients.pop(connection, None)) is not None:
            self._counts[client] -= 1
            self._forget_if_gone(client)

    def _close_first(self, waiting: dict[Closable, None]) -> bool:
        first = next(iter(waiting), None)
        if first is None:
            return False
        self.remove(first)
        first.give_way()
        return True

    def _forget_if_gone(self, client: str) -> None:
        if not self._counts[client]:
            self._counts.pop(client, None)
            self._waiting_of.pop(client, None)


def allowed_connections(wanted: int) -> int:
    """How many of the wanted connections the process has descriptors for; its soft limit is raised where that helps."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    needed = wanted + RESERVED_DESCRIPTORS
    if soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError):  # the system knows a lower bound that it does not name
            pass
    return max(1, min(wanted, soft - min(RESERVED_DESCRIPTORS, soft // 2)))
