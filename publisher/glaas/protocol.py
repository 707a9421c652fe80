"""Names and limits of the protocol that the client and the registry share."""

from typing import Final

API_ROOT = "/api/v1"
ANONYMOUS_PUBLIC: Final = "anonymous_public"
"""The `mode` of an anonymous registration session."""
GZIP: Final = "gzip"
"""The `Content-Encoding` of a compressed body, and its name among the `request_encodings`."""
LARGEST_INTEGER = 2**63 - 1
"""The largest integer that SQLite stores."""
