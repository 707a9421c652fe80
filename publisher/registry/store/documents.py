"""JSON documents of callers. They are stored unchanged, except for numbers that JSON does not have.

Python reads and writes `NaN` and `Infinity`, and reads `1e999` as infinity. Other JSON parsers reject these, so they
become null, as in the canonical form (`protocol.md §6`).
"""

import json
from typing import Any

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def kept_text(document: object) -> str:
    """Return the JSON text that a document is stored as. Equal documents have equal texts."""
    try:
        return _encode(document)
    except ValueError:
        return _encode(read_text(json.dumps(document)))


def read_text(text: str) -> Any:
    """Return the document stored as `text`. Earlier releases stored non-JSON numbers; these become null, too."""
    return json.loads(text, parse_constant=lambda _name: None)
