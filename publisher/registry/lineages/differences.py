"""JSON objects as differences to another: what has to change in `newer` to get `older` back.

A difference names the keys that only `newer` has (`drop`), the values that `older` has instead (`put`), and, for keys
where both hold objects, the differences of these (`into`).  Lists and other values are put whole.
"""

from collections.abc import Mapping
from typing import Any

from roar_publisher.registry.store.documents import kept_text

Document = Mapping[str, Any]


def difference(newer: Document, older: Document) -> dict[str, Any]:
    """The difference; empty where both have the same text (`documents.kept_text`)."""
    drop = [key for key in newer if key not in older]
    put: dict[str, Any] = {}
    into: dict[str, Any] = {}
    for key, value in older.items():
        other = newer.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            if inner := difference(other, value):
                into[key] = inner
        # Texts, not values: in Python 1, 1.0 and True are equal.
        elif key not in newer or kept_text(other) != kept_text(value):
            put[key] = value
    parts = {"drop": drop, "put": put, "into": into}
    return {name: part for name, part in parts.items() if part}


def restored(newer: Document, changes: Document) -> dict[str, Any]:
    """`older`, of which `changes` is the difference.  `newer` is left as it is, and shares what is equal."""
    older = {**newer, **changes.get("put", {})}
    for key in changes.get("drop", ()):
        del older[key]
    for key, inner in changes.get("into", {}).items():
        older[key] = restored(newer[key], inner)
    return older
