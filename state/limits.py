"""How much of the network a publish may use."""

from msgspec import Struct

MOST_REQUESTS = 64
"""The maximum number of concurrent requests to a registry. The adaptive limit never exceeds it."""
MOST_UPLOADS = 16
"""The default maximum of concurrent requests to an object store."""


class TransferLimits(Struct, frozen=True, kw_only=True):
    """The limits that a user sets for one publish, or for all publishes of the daemon. None: the default.

    jobs: concurrent requests, to the registry as well as to an object store.
    limit_rate: bytes per second to an object store; there is no limit by default.
    """

    jobs: int | None = None
    limit_rate: int | None = None

    @property
    def requests(self) -> int:
        """The maximum number of concurrent requests to the registry."""
        return self.jobs or MOST_REQUESTS

    @property
    def uploads(self) -> int:
        """The maximum number of concurrent requests to an object store."""
        return self.jobs or MOST_UPLOADS


DEFAULT_LIMITS = TransferLimits()
