"""The publisher's identity in the lineage hash (protocol.md §6): `treqs:user:…`, `glaas:user:…` or `anonymous`.

If an SSH key signs and the hash does not name its owner, the identity is the key, `ssh:SHA256:…` (`identity_of_key`).
"""

from collections.abc import Mapping

from roar_publisher.auth.signin import SignIn

_BY_TREQS = "treqs:user:"
_BY_KEY = "ssh:"
LONGEST_NAME = 256
"""Characters. Longer than any real identity; bounds what enters messages and the journal."""


def requires_bearer(identity: str) -> bool:
    """Return whether only a bearer can have this identity, and no SSH key (protocol.md §6)."""
    return identity.startswith(_BY_TREQS)


def identity_of_key(keyid: str) -> str:
    """Return the identity of an SSH key whose owner was not requested or is unknown. Its lineage hashes name no one."""
    return f"{_BY_KEY}{keyid}"


def is_key_identity(identity: str) -> bool:
    """Return whether the identity is a key and not its owner (`identity_of_key`)."""
    return identity.startswith(_BY_KEY)


def identity_of_sign_in(sign_in: SignIn) -> str | None:
    """Return the identity of a bearer from the sign-in state, or None if only `/auth/me` knows it."""
    if sign_in.provider.lower().startswith("treqs") and (sub := _name(sign_in.sub)):
        return f"{_BY_TREQS}{sub}"
    if user_id := _name(sign_in.db_user_id):
        return f"glaas:user:{user_id}"
    return None


def identity_of_me(me: Mapping[str, object]) -> str | None:
    """Return the identity in the JSON reply of `GET /auth/me`, or None.

    The server's own `creatorIdentity` has precedence over the one built from the user's id.
    """
    for field in ("creatorIdentity", "creator_identity"):
        if identity := _name(me.get(field)):
            return identity
    user = me.get("user")
    user_id = _name(user.get("id")) if isinstance(user, Mapping) else ""
    return f"glaas:user:{user_id}" if user_id else None


def _name(value: object) -> str:
    """Return a name that can be shown, hashed and stored; numbers are converted. Empty for anything else."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    return text if text.isprintable() and len(text) <= LONGEST_NAME else ""
