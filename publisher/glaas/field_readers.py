"""The forms in which servers write one field, and what a client accepts (`protocol.md §2, §4`).

A reader returns the value, or raises Unreadable. A field that nothing depends on never makes a reply unreadable. One
that decides something (an id, a hash, a token) is accepted only in forms that are unambiguous.

| what a server may write | what it means |
| --- | --- |
| a number for a text, a numeric text for a number | the text, the number |
| a list or an object for a count | its length |
"""

import re
from typing import Any

CLOSED = frozenset({"closed", "finalized", "finalised", "published", "complete", "completed"})
WENT_WELL = frozenset({"ok", "success", "succeeded"})
"""Statuses that describe the request and not the session."""
LONGEST_CLAIM = 200
"""Characters."""
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,255}")
SESSION_TOKEN = re.compile(r"([!-~]{1,4096})?")
SHOWN_ADDRESS = re.compile(r"[!-~]{1,2048}")
TRUE = frozenset({"true", "yes", "1"})
FALSE = frozenset({"false", "no", "0"})


class Unreadable(ValueError):
    """A document is not the reply that was expected."""


def means_yes(value: Any) -> bool:
    """Return whether a value clearly means yes."""
    return value == 1 or (isinstance(value, str) and value.lower() in TRUE)


def means_no(value: Any) -> bool:
    """Return whether a value clearly means no."""
    return value == 0 or (isinstance(value, str) and value.lower() in FALSE)


def unchanged(value: object) -> object:
    """Return the value, for a field that is interpreted elsewhere."""
    return value


def _as_text(value: object) -> object:
    """Return a number as text; anything else unchanged."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def session_id(value: object) -> str:
    """Return the id of a session, which goes into paths. Raises Unreadable if it contains anything else."""
    return _matched(SESSION_ID, _as_text(value))


def session_token(value: object) -> str:
    """Return the token of a session, which goes into a header; it may be empty. Raises Unreadable like `session_id`."""
    return _matched(SESSION_TOKEN, _as_text(value))


def _matched(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Unreadable("not in the form of this field")
    return value


def address(value: object) -> str | None:
    """Return a URL that can be shown to users: it has no control characters for a terminal. None for anything else."""
    return value if isinstance(value, str) and SHOWN_ADDRESS.fullmatch(value) else None


def optional_text(value: object) -> str | None:
    """Return a text that nothing depends on, stripped, or None."""
    text = _as_text(value)
    return text.strip() or None if isinstance(text, str) else None


def flag(value: object) -> bool:
    """Return whether the value clearly means yes."""
    return means_yes(value)


def not_denied(value: object) -> bool:
    """Return whether the value does not clearly mean no."""
    return not means_no(value)


def count(value: object) -> int:
    """Return a number of items, also from a text or from the items themselves. An unreadable value counts as one."""
    found = stated_count(value)
    return max(0, found) if found is not None else 1 if value else 0


def stated_count(value: object) -> int | None:
    """Return a number of items like `count`, or None if it is unreadable."""
    return len(value) if isinstance(value, list | dict) else number(value)


def lineage_hash(value: object) -> object:
    """Return a hash in lower case and without an algorithm prefix."""
    return value.strip().lower().removeprefix("sha256:") if isinstance(value, str) else value


def _claimed_hash(value: object) -> object:
    """Return the text in the place of a hash, valid or not, bounded. It can be compared and shown."""
    return str(lineage_hash(value))[:LONGEST_CLAIM] if isinstance(value, str) else value


def required_claim(value: object) -> str:
    """Return the text in the place of a hash like `_claimed_hash`. Raises Unreadable if there is no text."""
    claim = _claimed_hash(value)
    if not isinstance(claim, str):
        raise Unreadable("not a text")
    return claim


def number(value: object) -> int | None:
    """Return a whole number, also from a text; None for anything else."""
    try:
        found = float(value)  # type: ignore[arg-type]  # what is not a number is caught
    except (TypeError, ValueError, OverflowError):
        return None
    return int(found) if found.is_integer() else None


def is_closed(status: object) -> bool:
    """Return whether a session's status is compatible with its having been finalized."""
    return not isinstance(status, str) or status.strip().lower() in CLOSED | WENT_WELL


def lineage_hashes(value: object) -> list[str]:
    """Return hashes from a list, a text, a mapping by job, or objects that hold them. Skips empty ones."""
    if isinstance(value, dict):
        value = [value] if _hash_in(value) else list(value.values())
    entries = value if isinstance(value, list) else [value]
    hashes = (_hash_in(entry) if isinstance(entry, dict) else entry for entry in entries)
    return [str(_claimed_hash(found))[:LONGEST_CLAIM] for found in hashes if found]


def _hash_in(value: dict[str, object]) -> object:
    return value.get("session_hash") or value.get("hash")


def session_status(value: object) -> str:
    """Return `closed` for every status that means finalized, else `active`."""
    return "closed" if isinstance(value, str) and value.strip().lower() in CLOSED else "active"


def visibility(value: object) -> str | None:
    """Return `public` or `private`, or None for anything else."""
    word = value.strip().lower() if isinstance(value, str) else None
    return word if word in ("public", "private") else None
