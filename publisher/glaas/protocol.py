"""Names and limits of the protocol that the client and the registry share."""

from typing import Final

API_ROOT = "/api/v1"
ACCESS_CONTEXT = f"{API_ROOT}/auth/access-context"
ANONYMOUS_PUBLIC: Final = "anonymous_public"
"""The `mode` of an anonymous registration session."""
ANONYMOUS_IDENTITY = "anonymous"
"""The creator identity of a publish without a credential (protocol.md §6)."""
GZIP: Final = "gzip"
"""The `Content-Encoding` of a compressed body, and its name among the `request_encodings`."""
LINK_ALGORITHMS = ("blake3", "composite-blake3", "composite-sha256")
"""The algorithms of the hash that names an artifact in links, the first that it has; else its first hash
(protocol.md §7)."""
LARGEST_INTEGER = 2**63 - 1
"""The largest integer that SQLite stores."""
