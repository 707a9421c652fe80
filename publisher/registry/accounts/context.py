"""Access contexts: the owners and projects of a user (`protocol.md §4`, `GET /auth/access-context`).

The TReqs service and the registry's own accounts use the same shape. Unknown fields from a service are kept and passed
on.
"""

from pydantic import BaseModel, ConfigDict

OWNER, MEMBER, GUEST = "owner", "member", "guest"
"""Roles that the registry itself assigns. A guest can access only single projects of an owner."""
WRITING_ROLES = frozenset({OWNER, "admin", MEMBER})
"""Roles that may write to an owner's space without naming a project."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class ContextUser(_Part):
    """The user that the context belongs to. `id` is the identity service's own id."""

    id: str
    sub: str
    username: str | None = None
    email: str | None = None


class ContextOwner(_Part):
    """An organization or a user whose projects the user can see."""

    id: str
    type: str
    username: str | None = None
    display_name: str | None = None
    role: str | None = None


class ContextProject(_Part):
    """A project that the user can see. Without `can_write`, the user cannot write to it."""

    id: str
    name: str | None = None
    visibility: str | None = None
    can_write: bool = False


class AccessContext(_Part):
    """Everything that a user can see."""

    user: ContextUser
    owners: list[ContextOwner]
    projects_by_owner: dict[str, list[ContextProject]]
