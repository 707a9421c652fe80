"""JSON as it travels, and JSON as roar.db may hold it."""

import json

encode = json.JSONEncoder(separators=(",", ":")).encode
"""JSON text without spaces, in ASCII: its characters are its bytes."""


def parsed(text: str | None) -> object:
    """The value of a JSON text; None where there is none, or a broken one.

    JSON has no NaN, though Python writes it: it becomes null.
    """
    if not text:
        return None
    try:
        return json.loads(text, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        return None
