"""JSON documents of callers: kept as they are, but for the numbers that JSON does not have.

Python reads and writes `NaN` and `Infinity`, and takes `1e999` for the latter; other readers of JSON stop there.  They
become null, as in the canonical form (`protocol.md §6`).
"""

import json
from typing import Any

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def kept_text(document: object) -> str:
    """The JSON text under which a document is kept; equal documents have equal texts."""
    try:
        return _encode(document)
    except ValueError:
        return _encode(read_text(json.dumps(document)))


def read_text(text: str) -> Any:
    """The document that is kept as `text`.  Earlier releases kept such numbers: they are null, too."""
    return json.loads(text, parse_constant=lambda _name: None)
