"""JSON documents of callers. They are stored unchanged, except for numbers that JSON does not have.

Python reads and writes `NaN` and `Infinity`, and reads `1e999` as infinity. Other JSON parsers reject these, so they
become null, as in the canonical form (`protocol.md §6`).
"""

import json
import re
from typing import Any

DEEPEST = 100
"""Levels to which an unchecked document may be nested. More would exhaust the stack of whatever goes through it."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
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


def read_document(text: str) -> Any:
    """Return the document in a text that somebody sent and that was never checked. Non-JSON numbers become null.

    Raises ValueError if it cannot be part of a reply: it is no JSON, nested too deep, or holds an unpaired surrogate.
    """
    try:
        document = json.loads(text, parse_constant=lambda _name: None, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if text.count("[") + text.count("{") > DEEPEST and _is_deeper(document, DEEPEST):
        raise ValueError("nested too deep")
    if _SURROGATE.search(text):
        json.dumps(document, ensure_ascii=False).encode()
    return document


def _finite(text: str) -> float | None:
    number = float(text)
    return number if abs(number) < float("inf") else None


def _is_deeper(document: object, levels: int) -> bool:
    layer = [document]
    for _ in range(levels):
        layer = [
            part
            for whole in layer
            if isinstance(whole, dict | list)
            for part in (whole.values() if isinstance(whole, dict) else whole)
        ]
    return any(isinstance(part, dict | list) for part in layer)
