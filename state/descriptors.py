"""How many files and connections this process may have open at once (`ulimit -n`)."""

import resource

ENOUGH = 4096
"""A soft limit above this is of no use to us."""
RESERVED = 40
"""Open without any connection: the streams, the event loop, journals with their locks, and what imports open."""
EACH = 2
"""A connection may come with a file that is being read."""


def raise_limit() -> None:
    """Raise the soft limit as far as the hard one, or as is of use.  What the system refuses stays as it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return


def fitting(wanted: int) -> int:
    """How many connections of `wanted` there is room for; one at least."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (soft - RESERVED) // EACH))
