"""What a client accepts as an answer: the forms in which servers write the same thing (`protocol.md §2, §4`).

The rule of this module, which `wire` and `caller` apply: a reply that means "taken" is taken, in whatever form it
comes; a field that nothing depends on never makes a reply unreadable; a field that decides something (an id, a hash, a
token) is accepted in every form that leaves no doubt, and in no other.

| what a server may write | what it means |
| --- | --- |
| `{"success": true, "data": {…}}`, `{"data": {…}}`, one envelope in another | the innermost object |
| `null`, 204, 205, `{"success": true}`, `data` that is no object | a success that says nothing more |
| `{"success": false, …}`, `{"error": "…"}`, `{"status": "error", …}` with a 2xx status | a refusal |
| a number for a text, a numeric text for a number, a list for a count | the text, the number, the length |
| `errors`: null, `""`, `[]`, `{}`, 0, false, a list of these | every item was taken |
| `errors`: a text, a number, true | as many items were not taken, and it is not said which |
| `errors`: a list | its entry *i* speaks of item *i*, if there are as many entries as items |
| an entry of `errors` that is an object | it may name the item itself (`index`, `job_uid`, `loc`, …) |
| `errors`: an object | by position or by name, what was not taken |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

WORDS = ("error", "detail", "message", "msg", "reason", "description", "title", "code", "error_code")
"""Where an error's text may stand, the best first."""
PLACES = ("index", "position", "i")
NAMES = ("job_uid", "uid", "artifact_hash", "hash", "digest", "id")
FAILED = frozenset({"error", "fail", "failed", "failure"})
CLOSED = frozenset({"closed", "finalized", "finalised", "published", "complete", "completed"})
WENT_WELL = frozenset({"ok", "success", "succeeded"})
"""A status that speaks of the request and not of the session."""
LONGEST_CLAIM = 200
"""Characters."""
TRUE = frozenset({"true", "yes", "1"})
FALSE = frozenset({"false", "no", "0"})
DEEPEST = 4
"""Levels of envelopes, and of objects in errors, that are looked through."""


def unwrapped(document: Any) -> Any:
    """The body of a success without its envelopes; `{}` for one that says nothing."""
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
    """Whether a body that came with a 2xx status is a refusal all the same."""
    if not isinstance(document, dict) or _yes(document.get("success")):
        return False
    if _no(document.get("success")) or _no(document.get("ok")):
        return True
    failed = isinstance(status := document.get("status"), str) and status.lower() in FAILED
    return failed or bool(words(document.get("error")))


def words(value: Any, depth: int = DEEPEST) -> str:
    """An error's text, wherever it stands in `value`; empty where there is none."""
    if isinstance(value, str):
        return value.strip()
    if depth == 0:
        return ""
    if isinstance(value, list):
        return "; ".join(dict.fromkeys(filter(None, (words(entry, depth - 1) for entry in value[:3]))))
    if isinstance(value, dict):
        return next(filter(None, (words(value.get(key), depth - 1) for key in WORDS)), "")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value else ""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """An item of a batch that the registry did not take.

    place: its index in the batch; None where the registry does not say.  name: a uid or a digest, in the registry's
    words; why: its reason.  Both may be empty.
    """

    place: int | None
    name: str = ""
    why: str = ""


def not_taken(errors: Any, items: int) -> list[NotTaken]:
    """What the `errors` of a reply say of a batch of so many items; empty where all were taken."""
    if isinstance(errors, str) and errors.strip().isdigit():
        errors = int(errors)
    if not errors or (isinstance(errors, str) and not errors.strip()):
        return []
    if isinstance(errors, bool | str):
        return [NotTaken(None, why=words(errors))]
    if isinstance(errors, int | float):
        return [NotTaken(None)] * min(count(errors), items)
    if isinstance(errors, list):
        positional = len(errors) == items
        told = ((_entry(entry), place if positional else None) for place, entry in enumerate(errors))
        found = [_placed(entry, place) for entry, place in told if entry is not None]
    else:
        found = list(_by_key(errors))
    return [entry if (entry.place or 0) < items else NotTaken(None, entry.name, entry.why) for entry in found]


def errors_in(body: Mapping[str, Any]) -> Any:
    """What a refusal says of single items, wherever it stands; None where it says nothing of them."""
    for place in (body, body.get("data"), body.get("error")):
        if isinstance(place, Mapping) and (errors := place.get("errors") or place.get("details")):
            return errors
    return body["detail"] if isinstance(body.get("detail"), list) else None


def _by_key(errors: dict[str, Any]) -> Iterator[NotTaken]:
    if any(key in errors for key in (*WORDS, *PLACES, *NAMES)):
        if (entry := _entry(errors)) is not None:
            yield entry
        return
    for key, value in errors.items():
        if (entry := _entry(value)) is not None:
            yield _placed(entry, int(key)) if key.isdigit() else NotTaken(entry.place, entry.name or key, entry.why)


def _entry(value: Any) -> NotTaken | None:
    """One entry of `errors`; None where it says that the item was taken."""
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, list):
        return NotTaken(None, why=why) if (why := words(value)) else None
    if not value or (isinstance(value, str) and not value.strip()):
        return None
    return NotTaken(None, why=words(value))


def _object(value: dict[str, Any]) -> NotTaken | None:
    said = [value[key] for key in WORDS if key in value]
    taken = _yes(value.get("success")) or _yes(value.get("ok")) or bool(said and not any(said))
    if not value or (taken and not words(value.get("error"))):
        return None
    place = next((value[key] for key in PLACES if _whole(value.get(key))), None)
    if place is None and isinstance(value.get("loc"), list):
        place = next((part for part in value["loc"] if _whole(part)), None)
    name = next((str(value[key]) for key in NAMES if isinstance(value.get(key), str)), "")
    return NotTaken(place, name, words(value))


def _placed(entry: NotTaken, place: int | None) -> NotTaken:
    return entry if entry.place is not None else NotTaken(place, entry.name, entry.why)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _yes(value: Any) -> bool:
    return value == 1 or (isinstance(value, str) and value.lower() in TRUE)


def _no(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and value.lower() in FALSE)


# ---------------------------------------------------------------- fields, for pydantic's validators


def as_text(value: object) -> object:
    """A number where a text is expected."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def text_or_nothing(value: object) -> str | None:
    """A text that nothing depends on."""
    told = as_text(value)
    return told.strip() or None if isinstance(told, str) else None


def flag(value: object) -> bool:
    """Whether a server clearly says yes."""
    return _yes(value)


def not_denied(value: object) -> bool:
    """Whether a server does not clearly say no."""
    return not _no(value)


def count(value: object) -> int:
    """A number of items, also as a text or as the items themselves; what can't be read is at least one."""
    found = said_count(value)
    return max(0, found) if found is not None else 1 if value else 0


def said_count(value: object) -> int | None:
    """A number of items as `count` reads it; None for what can't be read."""
    return len(value) if isinstance(value, list | dict) else number(value)


def lineage_hash(value: object) -> object:
    """A hash in whatever case, with or without its algorithm in front."""
    return value.strip().lower().removeprefix("sha256:") if isinstance(value, str) else value


def claimed_hash(value: object) -> object:
    """A text in the place of a hash, whether it is one or not: it can be compared, and shown."""
    return str(lineage_hash(value))[:LONGEST_CLAIM] if isinstance(value, str) else value


def number(value: object) -> int | None:
    """A whole number, also as a text; None for anything else."""
    try:
        found = float(value)  # type: ignore[arg-type]  # what is no number is caught
    except (TypeError, ValueError, OverflowError):
        return None
    return int(found) if found.is_integer() else None


def is_closed(status: object) -> bool:
    """Whether a session's status does not contradict that it was finalized."""
    return not isinstance(status, str) or status.strip().lower() in CLOSED | WENT_WELL


def lineage_hashes(value: object) -> list[str]:
    """Hashes as a list, as one text, by job, or as objects that hold them; what is empty is left out."""
    if isinstance(value, dict):
        value = [value] if _hash_in(value) else list(value.values())
    entries = value if isinstance(value, list) else [value]
    hashes = (_hash_in(entry) if isinstance(entry, dict) else entry for entry in entries)
    return [str(claimed_hash(found))[:LONGEST_CLAIM] for found in hashes if found]


def _hash_in(value: dict[str, object]) -> object:
    return value.get("session_hash") or value.get("hash")


def session_status(value: object) -> str:
    """`closed` for whatever means that the session was finalized, else `active`."""
    return "closed" if isinstance(value, str) and value.strip().lower() in CLOSED else "active"


def visibility(value: object) -> str | None:
    """`public` or `private`, None for anything else."""
    word = value.strip().lower() if isinstance(value, str) else None
    return word if word in ("public", "private") else None
