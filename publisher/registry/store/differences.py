"""Differences between JSON objects: the changes to `newer` that restore `older`.

A difference has three parts: keys that only `newer` has (`drop`), values that `older` has instead (`put`), and
differences of nested objects that both have (`into`). Lists and other values are replaced as a whole.
"""

from collections.abc import Mapping
from typing import Any

from roar_publisher.registry.store.documents import dump_document

Document = Mapping[str, Any]


def difference(newer: Document, older: Document) -> dict[str, Any]:
    """Return the difference. It is empty if both have the same text (`documents.dump_document`)."""
    drop = [key for key in newer if key not in older]
    put: dict[str, Any] = {}
    into: dict[str, Any] = {}
    for key, value in older.items():
        other = newer.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            if inner := difference(other, value):
                into[key] = inner
        # Compare texts, because in Python 1, 1.0 and True are equal.
        elif key not in newer or dump_document(other) != dump_document(value):
            put[key] = value
    parts = {"drop": drop, "put": put, "into": into}
    return {name: part for name, part in parts.items() if part}


def restored(newer: Document, changes: Document) -> dict[str, Any]:
    """Return `older`, given its difference `changes`.

    `newer` is not modified and shares unchanged values with the result.
    """
    older = {**newer, **changes.get("put", {})}
    for key in changes.get("drop", ()):
        del older[key]
    for key, inner in changes.get("into", {}).items():
        older[key] = restored(newer[key], inner)
    return older
