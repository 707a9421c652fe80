"""The roar-cli release of a client (`X-Roar-Version`, protocol.md §2), and the reply fields that it understands.

A client that names no release, such as roar-cli before 0.3.6, is assumed to understand none of them. It reaches the
same result with more requests.
"""

import re
from enum import Enum

from starlette.requests import Request

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})", re.ASCII)


class Since(Enum):
    """The first release that understands a field in the reply to a batch of jobs."""

    ALREADY_REGISTERED = (0, 3, 6)
    """`already_registered_session_hashes`: the client links no job of these lineages, and does not finalize."""
    BINDING_PREPARED = (0, 4, 6)
    """`existing_binding_prepared`: the client finalizes although every job is registered already."""


def understands(request: Request, since: Since) -> bool:
    """Return whether the client that sent the request understands the field."""
    found = _VERSION.match(request.headers.get("x-roar-version", ""))
    return found is not None and tuple(map(int, found.groups())) >= since.value
