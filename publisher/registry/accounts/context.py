"""Access contexts: the owners and projects of a user (`protocol.md §4`, `GET /auth/access-context`).

The TReqs service and the registry's own accounts use the same shape. Unknown fields from a service are kept and passed
on.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from roar_publisher.glaas.wire import without_null
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.projects import memberships, projects_of_owner, users_sharing_projects
from roar_publisher.registry.store.users import User

OWNER, MEMBER, GUEST = "owner", "member", "guest"
"""Roles that the registry itself assigns. A guest can access only single projects of an owner."""
WRITING_ROLES = frozenset({OWNER, "admin", MEMBER})
"""Roles that may write to an owner's space without naming a project."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, sent: Any) -> Any:
        return without_null(cls, sent)


class AccessUser(_Part):
    """The user that the context belongs to. `id` is the identity service's own id."""

    id: str
    sub: str
    username: str | None = None
    email: str | None = None

    @property
    def verified_email(self) -> str | None:
        """The address, if the service says that it belongs to the user (`email_verified`); otherwise None."""
        verified = (self.model_extra or {}).get("email_verified") is True
        return self.email or None if verified else None


class AccessOwner(_Part):
    """An organization or a user whose projects the user can see."""

    id: str
    type: str
    username: str | None = None
    display_name: str | None = None
    role: str | None = None


class AccessProject(_Part):
    """A project that the user can see. Without `can_write`, the user cannot write to it."""

    id: str
    name: str | None = None
    visibility: str | None = None
    can_write: bool = False


class AccessContext(_Part):
    """Everything that a user can see."""

    user: AccessUser
    owners: list[AccessOwner] = []
    projects_by_owner: dict[str, list[AccessProject]] = {}


def context_of(connection: Connection, user: User) -> AccessContext:
    """Return the access context of a user in the registry's own accounts, in the shape that TReqs uses."""
    owners = [
        _owner(user.id, user.name, "user", OWNER),
        *(
            _owner(each.id, each.name, "organization", MEMBER if each.is_member else GUEST)
            for each in memberships(connection, user.id)
        ),
        *(_owner(user_id, name, "user", GUEST) for user_id, name in users_sharing_projects(connection, user.id)),
    ]
    return AccessContext(
        user=AccessUser(id=user.id, sub=user.sub, username=user.name, email=user.email),
        owners=owners,
        projects_by_owner={owner.id: _projects_of(connection, owner, user) for owner in owners},
    )


def _owner(owner_id: str, name: str, kind: str, role: str) -> AccessOwner:
    return AccessOwner(id=owner_id, type=kind, username=name, display_name=name, role=role)


def _projects_of(connection: Connection, owner: AccessOwner, user: User) -> list[AccessProject]:
    everything = owner.role != GUEST
    return [
        AccessProject(
            id=project.id,
            name=project.name,
            visibility=project.visibility,
            can_write=everything or bool(project.can_write),
        )
        for project in projects_of_owner(connection, owner.id, user.id)
        if everything or project.can_write is not None
    ]
