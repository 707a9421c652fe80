"""JSON documents of callers. They are stored unchanged, except for numbers that JSON does not have.

Python reads and writes `NaN` and `Infinity`, and reads `1e999` as infinity. Other JSON parsers reject these, so they
become null, as in the canonical form (`protocol.md §6`).
"""

import json
from typing import Any

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def dump_document(document: object) -> str:
    """Return the JSON text that a document is stored as. Equal documents have equal texts."""
    try:
        return _encode(document)
    except ValueError:
        return _encode(load_document(json.dumps(document)))


def load_document(text: str) -> Any:
    """Return the document stored as `text`. Earlier releases stored non-JSON numbers; these become null, too."""
    return json.loads(text, parse_constant=lambda _name: None)
