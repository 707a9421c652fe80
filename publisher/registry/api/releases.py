"""Which release of roar-cli a client speaks as (`X-Roar-Version`, protocol.md §2), and what that release understands.

A client that names no release, as roar-cli before 0.3.6, is taken for one that understands none of this.  It gets the
same result by more requests.
"""

import re
from enum import Enum

from starlette.requests import Request

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})", re.ASCII)


class Since(Enum):
    """The first release that understands something in the answer to a batch of jobs."""

    ALREADY_REGISTERED = (0, 3, 6)
    """`already_registered_session_hashes`: links no job that is named there, and does not finalize."""
    BINDING_PREPARED = (0, 4, 6)
    """`existing_binding_prepared`: finalizes, although every job is registered already."""


def understands(request: Request, since: Since) -> bool:
    """Whether the client that sent the request understands this."""
    found = _VERSION.match(request.headers.get("x-roar-version", ""))
    return found is not None and tuple(map(int, found.groups())) >= since.value
