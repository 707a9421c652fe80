"""An access context: where a user may write and read (`protocol.md §4`, `GET /auth/access-context`).

The same shape comes from the TReqs service and from the registry's own accounts.  What a service says beyond it is kept
and passed on.
"""

from pydantic import BaseModel, ConfigDict

OWNER, MEMBER, GUEST = "owner", "member", "guest"
"""Roles that the registry itself gives; a guest has single projects of an owner only."""
WRITING_ROLES = frozenset({OWNER, "admin", MEMBER})
"""Roles that may write to an owner's space without naming a project."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class ContextUser(_Part):
    """Whom the context is of.  id: the identity service's own."""

    id: str
    sub: str
    username: str | None = None
    email: str | None = None


class ContextOwner(_Part):
    """An organization or a user whose projects the user sees."""

    id: str
    type: str
    username: str | None = None
    display_name: str | None = None
    role: str | None = None


class ContextProject(_Part):
    """A project that the user sees; without a word on it, the user can't write."""

    id: str
    name: str | None = None
    visibility: str | None = None
    can_write: bool = False


class AccessContext(_Part):
    """All that a user may see."""

    user: ContextUser
    owners: list[ContextOwner]
    projects_by_owner: dict[str, list[ContextProject]]
