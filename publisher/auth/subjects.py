"""Compares the user of a refreshed sign-in with the previous one, because a refresh never changes the user.

Tokens that are JSON Web Tokens (RFC 7519) name their subject. Their signatures are not checked, because only their
registry holds the key. This check only detects replies that openly name another user; the registry is also asked for
each token's user.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping

LARGEST_TOKEN = 64 * 1024
_TOKENS = ("access_token", "id_token")


def names_different_user(before: Mapping[str, object], answer: Mapping[str, object]) -> bool:
    """Return whether the reply to a refresh names a user that the sign-in did not name; False if it names none.

    before: the content of `auth.json`.
    answer: the reply to `POST /auth/refresh`.
    """
    known, known_ids = set(_subjects(before)), set(_ids(before))
    return bool(
        (known and not known.issuperset(_subjects(answer))) or (known_ids and not known_ids.issuperset(_ids(answer)))
    )


def _subjects(document: Mapping[str, object]) -> Iterator[str]:
    """Yield every subject in the user entries and the tokens of a document."""
    for table in (document, *_users(document)):
        yield from _texts(table, "sub")
    for name in _TOKENS:
        yield from _texts(_claims(document.get(name)), "sub")


def _ids(document: Mapping[str, object]) -> Iterator[str]:
    """Yield the user's ids at the registry: `db_user_id` in `auth.json`, `id` on the wire."""
    for user in _users(document):
        yield from _texts(user, "db_user_id")
        yield from _texts(user, "id")


def _users(document: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    context = document.get("access_context")
    for holder in (document, context):
        user = holder.get("user") if isinstance(holder, Mapping) else None
        if isinstance(user, Mapping):
            yield user


def _texts(table: Mapping[str, object], key: str) -> Iterator[str]:
    value = table.get(key)
    if isinstance(value, str | int) and str(value).strip():
        yield str(value).strip()


def _claims(token: object) -> Mapping[str, object]:
    """Return the claims of a JSON Web Token, empty for anything else."""
    if not isinstance(token, str) or token.count(".") != 2 or len(token) > LARGEST_TOKEN:
        return {}
    payload = token.split(".")[1]
    try:
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
