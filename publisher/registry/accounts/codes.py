"""Codes that people type. They have letters that are hard to confuse and make no words."""

import secrets

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
GROUP = 4
"""Letters between two dashes."""


def new_code(length: int) -> str:
    """Return a random code of this many letters, in groups."""
    letters = "".join(secrets.choice(LETTERS) for _ in range(length))
    return "-".join(letters[start : start + GROUP] for start in range(0, length, GROUP))


def typed_code(text: str, length: int) -> str | None:
    """Return a code in the form of `new_code`, as typed in any case, with or without dashes and spaces.

    Return None if it is not a code of this many letters.
    """
    letters = "".join(text.replace("-", "").split()).upper()
    if len(letters) != length or not set(letters) <= set(LETTERS):
        return None
    return "-".join(letters[start : start + GROUP] for start in range(0, length, GROUP))
