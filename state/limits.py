"""How much of the network a publish may use."""

import re
from dataclasses import dataclass

MOST_REQUESTS = 64
"""The maximum number of concurrent requests to a registry. The adaptive limit never exceeds it."""
MOST_UPLOADS = 16
"""The default maximum of concurrent requests to an object store."""
MOST_JOBS = 64
"""The largest number of concurrent requests that a user may ask for."""
_RATE = re.compile(r"(\d+(?:\.\d+)?)([kMG]?)(?:B(?:/s)?)?")
_SCALE = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
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


def parse_rate(text: str) -> int:
    """Return a rate in bytes per second: a number, optionally followed by k, M or G for powers of 1000.

    Raises ValueError if it is not one.
    """
    match = _RATE.fullmatch(text)
    rate = round(float(match[1]) * _SCALE[match[2]]) if match else 0
    if rate < 1:
        raise ValueError(f"{text!r} is not a rate; write it as 500k or 10M")
    return rate
