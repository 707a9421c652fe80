"""The forms in which servers write the same answer, and what a client accepts (`protocol.md §2, §4`).

`replies` and `answers` follow these rules: a reply that means acceptance counts as acceptance in any form. A field that
nothing depends on never makes a reply unreadable. A field that decides something (an id, a hash, a token) is accepted
only in forms that are unambiguous.

| what a server may write | what it means |
| --- | --- |
| `{"success": true, "data": {…}}`, `{"data": {…}}`, nested envelopes | the innermost object |
| `null`, 204, 205, `{"success": true}`, `data` that is not an object | a success without content |
| `{"success": false, …}`, `{"error": "…"}`, `{"status": "error", …}` with a 2xx status | a refusal |
| a number for a text, a numeric text for a number, a list for a count | the text, the number, the length |
| `errors`: null, `""`, `[]`, `{}`, 0, false, a list of these | every item was accepted |
| `errors`: a text, a number, true | that many items were not accepted; which ones is unknown |
| `errors`: a list | entry *i* is about item *i* if there are as many entries as items |
| an entry of `errors` that is an object | it may name the item itself (`index`, `job_uid`, `loc`, …) |
| `errors`: an object | what was not accepted, by position or by name |
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from roar_publisher.net.documents import DEEPEST, WORDS, find_text

PLACES = ("index", "position", "i")
NAMES = ("job_uid", "uid", "artifact_hash", "hash", "digest", "id")
FAILED = frozenset({"error", "fail", "failed", "failure"})
CLOSED = frozenset({"closed", "finalized", "finalised", "published", "complete", "completed"})
WENT_WELL = frozenset({"ok", "success", "succeeded"})
"""Statuses that describe the request and not the session."""
LONGEST_CLAIM = 200
"""Characters."""
MOST_DIGITS = 18
"""Of a number in a text, to be taken for one."""
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,255}")
SESSION_TOKEN = re.compile(r"([!-~]{1,4096})?")
SHOWN_ADDRESS = re.compile(r"[!-~]{1,2048}")
TRUE = frozenset({"true", "yes", "1"})
FALSE = frozenset({"false", "no", "0"})


class Unreadable(ValueError):
    """A document is not the reply that was expected."""


def unwrapped(document: Any) -> Any:
    """Return the body of a success without its envelopes; `{}` for one without content."""
    for _ in range(DEEPEST):
        if document is None:
            return {}
        if not isinstance(document, dict) or "data" not in document or _no(document.get("success")):
            return document
        inner = document["data"]
        if not isinstance(inner, dict):
            return {} if _yes(document.get("success")) else document
        document = inner
    return document


def refuses(document: Any) -> bool:
    """Return whether a body with a 2xx status is in fact a refusal."""
    if not isinstance(document, dict) or _yes(document.get("success")):
        return False
    if _no(document.get("success")) or _no(document.get("ok")):
        return True
    failed = isinstance(status := document.get("status"), str) and status.lower() in FAILED
    return failed or bool(find_text(document.get("error")))


class NotAccepted(Struct, frozen=True):
    """An item of a batch that the registry did not accept.

    place: its index in the batch, or None if the registry does not give it. name: a uid or a digest as the registry
    writes it. why: the registry's reason. Both may be empty.
    """

    place: int | None
    name: str = ""
    why: str = ""


def not_accepted(errors: Any, items: int) -> list[NotAccepted]:
    """Return what the `errors` of a reply say about a batch of `items` items; empty if all were accepted."""
    if isinstance(errors, str) and (stated := _digits(errors.strip())) is not None:
        errors = stated
    if not errors or (isinstance(errors, str) and not errors.strip()):
        return []
    if isinstance(errors, bool | str):
        return [NotAccepted(None, why=find_text(errors))]
    if isinstance(errors, int | float):
        return [NotAccepted(None)] * min(count(errors), items)
    if isinstance(errors, list):
        positional = len(errors) == items
        entries = ((_entry(entry), place if positional else None) for place, entry in enumerate(errors))
        found = [_placed(entry, place) for entry, place in entries if entry is not None]
    else:
        found = list(_by_key(errors))
    return [entry if (entry.place or 0) < items else NotAccepted(None, entry.name, entry.why) for entry in found]


def errors_in(body: Mapping[str, Any]) -> Any:
    """Return what a refusal says about single items, wherever it is; None if it says nothing about them."""
    for place in (body, body.get("data"), body.get("error")):
        if isinstance(place, Mapping) and (errors := place.get("errors") or place.get("details")):
            return errors
    return body["detail"] if isinstance(body.get("detail"), list) else None


def _by_key(errors: dict[str, Any]) -> Iterator[NotAccepted]:
    if any(key in errors for key in (*WORDS, *PLACES, *NAMES)):
        if (entry := _entry(errors)) is not None:
            yield entry
        return
    for key, value in errors.items():
        if (entry := _entry(value)) is not None:
            place = _digits(key)
            name = entry.name or (key if place is None else "")
            yield _placed(NotAccepted(entry.place, name, entry.why), place)


def _entry(value: Any) -> NotAccepted | None:
    """Return one entry of `errors`, or None if it says that the item was accepted."""
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, list):
        return NotAccepted(None, why=why) if (why := find_text(value)) else None
    if not value or (isinstance(value, str) and not value.strip()):
        return None
    return NotAccepted(None, why=find_text(value))


def _object(value: dict[str, Any]) -> NotAccepted | None:
    texts = [value[key] for key in WORDS if key in value]
    accepted = _yes(value.get("success")) or _yes(value.get("ok")) or bool(texts and not any(texts))
    if not value or (accepted and not find_text(value.get("error"))):
        return None
    place = next((value[key] for key in PLACES if _whole(value.get(key))), None)
    if place is None and isinstance(value.get("loc"), list):
        place = next((part for part in value["loc"] if _whole(part)), None)
    name = next((str(value[key]) for key in NAMES if isinstance(value.get(key), str)), "")
    return NotAccepted(place, name, find_text(value))


def _placed(entry: NotAccepted, place: int | None) -> NotAccepted:
    return entry if entry.place is not None else NotAccepted(place, entry.name, entry.why)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _digits(text: str) -> int | None:
    """Return the number that a text of ASCII digits is, or None. Python reads no number of several thousand digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def _yes(value: Any) -> bool:
    return value == 1 or (isinstance(value, str) and value.lower() in TRUE)


def _no(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and value.lower() in FALSE)


# ---------------------------------------------------------------- fields: a reader returns a value or raises Unreadable


def unchanged(value: object) -> object:
    """Return the value, for a field that is interpreted elsewhere."""
    return value


def as_text(value: object) -> object:
    """Return a number as text; anything else unchanged."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def session_id(value: object) -> str:
    """Return the id of a session, which goes into paths. Raises Unreadable if it contains anything else."""
    return _matched(SESSION_ID, as_text(value))


def session_token(value: object) -> str:
    """Return the token of a session, which goes into a header; it may be empty. Raises Unreadable like `session_id`."""
    return _matched(SESSION_TOKEN, as_text(value))


def _matched(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Unreadable("not in the form of this field")
    return value


def address(value: object) -> str | None:
    """Return a URL that can be shown to users: it has no control characters for a terminal. None for anything else."""
    return value if isinstance(value, str) and SHOWN_ADDRESS.fullmatch(value) else None


def optional_text(value: object) -> str | None:
    """Return a text that nothing depends on, stripped, or None."""
    text = as_text(value)
    return text.strip() or None if isinstance(text, str) else None


def flag(value: object) -> bool:
    """Return whether the value clearly means yes."""
    return _yes(value)


def not_denied(value: object) -> bool:
    """Return whether the value does not clearly mean no."""
    return not _no(value)


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


def claimed_hash(value: object) -> object:
    """Return the text in the place of a hash, valid or not, bounded. It can be compared and shown."""
    return str(lineage_hash(value))[:LONGEST_CLAIM] if isinstance(value, str) else value


def required_claim(value: object) -> str:
    """Return the text in the place of a hash like `claimed_hash`. Raises Unreadable if there is no text."""
    claim = claimed_hash(value)
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
    return [str(claimed_hash(found))[:LONGEST_CLAIM] for found in hashes if found]


def _hash_in(value: dict[str, object]) -> object:
    return value.get("session_hash") or value.get("hash")


def session_status(value: object) -> str:
    """Return `closed` for every status that means finalized, else `active`."""
    return "closed" if isinstance(value, str) and value.strip().lower() in CLOSED else "active"


def visibility(value: object) -> str | None:
    """Return `public` or `private`, or None for anything else."""
    word = value.strip().lower() if isinstance(value, str) else None
    return word if word in ("public", "private") else None
