"""Limits of transfers as a user types them."""

import re

MOST_JOBS = 64
"""The largest number of concurrent requests that a user may ask for."""
FASTEST = 10**18
"""Bytes per second. A faster rate is cut to this one, which fits a column of the journal."""
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
    rate = round(min(float(match[1]) * _SCALE[match[2]], FASTEST)) if match else 0
    if rate < 1:
        raise ValueError(f"{text!r} is not a rate; write it as 500k or 10M")
    return rate
