"""JSON documents: how they are written, how a server's are read, and the text of an error in one."""

import json
from collections.abc import Collection
from typing import Any

MAX_TEXT = 300
"""Characters of a server's own text that are shown to the user."""
WORDS = ("error", "detail", "message", "msg", "reason", "description", "title", "code", "error_code")
"""Keys of an error's text, in order of preference."""
DEEPEST = 4
"""Levels of envelopes, and of objects in errors, that are searched."""


def dump(document: object) -> bytes:
    """Return JSON as it is sent: ASCII, without spaces."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def parse(body: bytes, hidden: Collection[str] = ()) -> Any:
    """Return the JSON document in `body`; None for null and for anything else.

    hidden: what to cut out of every text in it, after JSON's escapes are decoded.
    """
    try:
        document = json.loads(body)
        if hidden:
            document = _without(document, hidden)
    except (ValueError, RecursionError):
        return None
    return document


def _without(document: Any, hidden: Collection[str]) -> Any:
    match document:
        case str():
            for text in hidden:
                document = document.replace(text, "[credential]")
            return document
        case list():
            return [_without(item, hidden) for item in document]
        case dict():
            return {_without(key, hidden): _without(value, hidden) for key, value in document.items()}
        case _:
            return document


def find_text(value: Any, depth: int = DEEPEST) -> str:
    """Return an error's text from anywhere in `value`; empty if there is none."""
    if isinstance(value, str):
        return value.strip()
    if depth == 0:
        return ""
    if isinstance(value, list):
        return "; ".join(dict.fromkeys(filter(None, (find_text(entry, depth - 1) for entry in value[:3]))))
    if isinstance(value, dict):
        return next(filter(None, (find_text(value.get(key), depth - 1) for key in WORDS)), "")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value else ""


def own_error_text(document: object) -> str:
    """Return the text of an error in one of the usual shapes (`protocol.md §2`).

    It is on one line of bounded length; "" if there is none.
    """
    if isinstance(document, dict):
        for key in ("detail", "message", "error"):
            value = document.get(key)
            if isinstance(value, str | dict | list) and (line := one_line(find_text(value))):
                return line
    return ""


def error_text(document: object, status: int) -> str:
    """Return the server's own text, wherever it is (`protocol.md §2`), or else the status."""
    return own_error_text(document) or f"HTTP {status}"


def one_line(text: str) -> str:
    """Return a server's text in a form that is safe to show: printable, on one line, of bounded length."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT]
