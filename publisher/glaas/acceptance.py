"""The forms in which servers say that they accept or refuse, all of a request or some items (`protocol.md §2, §4`).

A reply that means acceptance counts as acceptance in any form. `field_readers` has the forms of single fields.

| what a server may write | what it means |
| --- | --- |
| `{"success": true, "data": {…}}`, `{"data": {…}}`, nested envelopes | the innermost object |
| `null`, 204, 205, `{"success": true}`, `data` that is not an object | a success without content |
| `{"success": false, …}`, `{"error": "…"}`, `{"status": "error", …}` with a 2xx status | a refusal |
| `errors`: null, `""`, `[]`, `{}`, 0, false, a list of these | every item was accepted |
| `errors`: a text, a number, true | that many items were not accepted; which ones is unknown |
| `errors`: a list | entry *i* is about item *i* if there are as many entries as items |
| an entry of `errors` that is an object | it may name the item itself (`index`, `job_uid`, `loc`, …) |
| `errors`: an object | what was not accepted, by position or by name |
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from roar_publisher.glaas.field_readers import count, means_no, means_yes
from roar_publisher.net.documents import DEEPEST, WORDS, find_text

PLACES = ("index", "position", "i")
NAMES = ("job_uid", "uid", "artifact_hash", "hash", "digest", "id")
FAILED = frozenset({"error", "fail", "failed", "failure"})
MOST_DIGITS = 18
"""Of a number in a text, to be taken for one."""


def unwrapped(document: Any) -> Any:
    """Return the body of a success without its envelopes; `{}` for one without content."""
    for _ in range(DEEPEST):
        if document is None:
            return {}
        if not isinstance(document, dict) or "data" not in document or means_no(document.get("success")):
            return document
        inner = document["data"]
        if not isinstance(inner, dict):
            return {} if means_yes(document.get("success")) else document
        document = inner
    return document


def refuses(document: Any) -> bool:
    """Return whether a body with a 2xx status is in fact a refusal."""
    if not isinstance(document, dict) or means_yes(document.get("success")):
        return False
    if means_no(document.get("success")) or means_no(document.get("ok")):
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
    accepted = means_yes(value.get("success")) or means_yes(value.get("ok")) or bool(texts and not any(texts))
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
