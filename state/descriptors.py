"""The number of files and connections that this process may open at once (`ulimit -n`)."""

import resource

ENOUGH = 4096
"""The largest soft limit that this program can use."""
RESERVED = 40
"""Descriptors besides connections: the streams, the event loop, journals with their locks, and imported modules."""
EACH = 2
"""Descriptors per connection, which may come with a file that is being read."""


def raise_limit() -> None:
    """Raise the soft limit to the hard one, but at most to ENOUGH. If the system refuses, the limit stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return


def connections_that_fit(wanted: int) -> int:
    """Return how many of `wanted` connections fit into the limit; at least one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (soft - RESERVED) // EACH))
