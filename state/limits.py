"""How much of the network a publish may use."""

import re
from dataclasses import dataclass, field

MOST_REQUESTS = 64
"""The maximum number of concurrent requests to a registry. The adaptive limit never exceeds it."""
MOST_UPLOADS = 16
"""The default maximum of concurrent requests to an object store."""
MOST_JOBS = 64
"""The largest number of concurrent requests that a user may ask for."""
_RATE = re.compile(r"(\d+(?:\.\d+)?)([kMG]?)(?:B(?:/s)?)?")
_SCALE = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def parse_jobs(text: str) -> int:
    """Return a number of concurrent requests. Raises ValueError if it is not one."""
    jobs = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= jobs <= MOST_JOBS:
        raise ValueError(f"{text!r} is not a number from 1 to {MOST_JOBS}")
    return jobs


def parse_rate(text: str) -> int:
    """Return a rate in bytes per second: a number, optionally followed by k, M or G for powers of 1000.

    Raises ValueError if it is not one.
    """
    match = _RATE.fullmatch(text)
    rate = round(float(match[1]) * _SCALE[match[2]]) if match else 0
    if rate < 1:
        raise ValueError(f"{text!r} is not a rate; write it as 500k or 10M")
    return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
    """The limits that a user sets for one publish, or for all publishes of the daemon. None: the default.

    The metadata of a field declares its command-line option (`cli.parameters`).

    jobs: concurrent requests, to the registry as well as to an object store.
    limit_rate: bytes per second to an object store; there is no limit by default.
    """

    jobs: int | None = field(
        default=None,
        metadata={
            "names": ("--jobs",),
            "parse": parse_jobs,
            "metavar": "N",
            "help": f"Concurrent requests to the registry and to the store, at most {MOST_JOBS}.",
        },
    )
    limit_rate: int | None = field(
        default=None,
        metadata={
            "names": ("--limit-rate",),
            "parse": parse_rate,
            "metavar": "RATE",
            "help": "Bytes per second to the store, such as 500k or 10M.",
        },
    )

    @property
    def requests(self) -> int:
        """The maximum number of concurrent requests to the registry."""
        return self.jobs or MOST_REQUESTS

    @property
    def uploads(self) -> int:
        """The maximum number of concurrent requests to an object store."""
        return self.jobs or MOST_UPLOADS


DEFAULT_LIMITS = TransferLimits()
