"""Who publishes, as the lineage hash names them (protocol.md §6): `treqs:user:…`, `glaas:user:…` or `anonymous`.

A publish signed by an SSH key whose owner the hash does not name goes by the key, `ssh:SHA256:…` (`of_key`).
"""

from collections.abc import Mapping

from roar_publisher.auth.signin import SignIn

ANONYMOUS = "anonymous"
_BY_TREQS = "treqs:user:"
_BY_KEY = "ssh:"
LONGEST_NAME = 256
"""Characters.  Longer than any identity is; it goes into messages and into the journal."""


def only_by_bearer(identity: str) -> bool:
    """Whether no SSH key can name it (protocol.md §6)."""
    return identity.startswith(_BY_TREQS)


def of_key(keyid: str) -> str:
    """The identity of an SSH key whose owner is not asked for, or not told.  Lineage hashes name nobody for it."""
    return f"{_BY_KEY}{keyid}"


def is_key(identity: str) -> bool:
    """Whether it is a key and not its owner (`of_key`)."""
    return identity.startswith(_BY_KEY)


def of_sign_in(sign_in: SignIn) -> str | None:
    """The identity behind a bearer, as far as the sign-in state tells; None: ask `/auth/me` (`of_me`)."""
    if sign_in.provider.lower().startswith("treqs") and (sub := _name(sign_in.sub)):
        return f"{_BY_TREQS}{sub}"
    if user_id := _name(sign_in.db_user_id):
        return f"glaas:user:{user_id}"
    return None


def of_me(me: Mapping[str, object]) -> str | None:
    """The identity that the JSON of `GET /auth/me` names; None where it names none.

    The server's own `creatorIdentity` goes before the one that is made of the user's id.
    """
    for field in ("creatorIdentity", "creator_identity"):
        if identity := _name(me.get(field)):
            return identity
    user = me.get("user")
    user_id = _name(user.get("id")) if isinstance(user, Mapping) else ""
    return f"glaas:user:{user_id}" if user_id else None


def _name(value: object) -> str:
    """A name that can be shown, hashed and kept; a number is one, too.  Empty for anything else."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    return text if text.isprintable() and len(text) <= LONGEST_NAME else ""
