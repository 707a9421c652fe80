"""Makes blake3 hashers that use all cores, but for those of a forked process."""

import os
from functools import cache
from typing import TYPE_CHECKING

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

if TYPE_CHECKING:
    from blake3 import blake3


def blake3_hasher(data: bytes = b"") -> "blake3":
    """Return a blake3 hasher that has consumed `data`. Raises LocalProblem if the package is not installed."""
    try:
        from blake3 import blake3
    except ImportError as error:
        raise LocalProblem(
            "this lineage needs blake3 digests, and the package blake3 is not installed",
            next_step="type `pip install blake3`; a path may also be named by its digest",
            reason=Reason.NO_BLAKE3,
        ) from error
    # A fork does not have the threads of blake3's pool, and would wait for them for ever.
    return blake3(data, max_threads=blake3.AUTO if _pool_owner() == os.getpid() else 1)


@cache
def _pool_owner() -> int:
    """Return the process that made a hasher first: this one, or one that it was forked from."""
    return os.getpid()
