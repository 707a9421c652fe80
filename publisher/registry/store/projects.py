"""The tables of organizations (`owners`), projects, and their members.

A member of an organization may write to all its projects. A member of a single project may read or write it, as the
membership says. A user's own space is also an owner, with the user's id and name, and needs no row.
"""

from typing import NamedTuple

from msgspec import Struct

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.errors import AlreadyExists, NotFound
from roar_publisher.registry.store.users import find_user, new_id

_PROJECTS = """
    SELECT projects.*, coalesce(owners.name, users.name) AS owner FROM projects
    LEFT JOIN owners ON owners.id = owner_id LEFT JOIN users ON users.id = owner_id
"""


class RegistryProject(Struct, frozen=True):
    """A project, for listings.

    `owner` is an organization's or a user's name. `writers` and `readers` are names of users.
    """

    id: str
    owner: str
    name: str
    visibility: str
    writers: list[str]
    readers: list[str]


class Organization(Struct, frozen=True):
    """An organization, for listings."""

    id: str
    name: str
    members: list[str]


class Membership(NamedTuple):
    """An organization that a user can access. If `is_member` is false, only single projects of it."""

    id: str
    name: str
    is_member: bool


class ProjectAccess(NamedTuple):
    """A project of an owner. `can_write` is what a user's own membership says; None without a membership."""

    id: str
    name: str
    visibility: str
    can_write: bool | None


def add_owner(connection: Connection, name: str) -> str:
    """Add an organization and return its id. Raises `AlreadyExists`."""
    owner_id = new_id()
    if connection.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone() is not None:
        raise AlreadyExists("user", f"{name} is a user, who owns a space of that name")
    added = connection.execute("INSERT INTO owners (id, name) VALUES (?, ?) ON CONFLICT DO NOTHING", (owner_id, name))
    if added.rowcount == 0:
        raise AlreadyExists("owner", f"there is an owner {name} already")
    return owner_id


def set_owner_member(connection: Connection, owner: str, user_name: str, *, member: bool) -> None:
    """Add a user to the members of an organization, or remove the user. Repeating it changes nothing.

    Raises `NotFound`.
    """
    row = connection.execute("SELECT id FROM owners WHERE name = ?", (owner,)).fetchone()
    if row is None:
        raise NotFound("owner", owner)
    who = (row["id"], find_user(connection, user_name).id)
    if member:
        connection.execute("INSERT INTO owner_members (owner_id, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING", who)
    else:
        connection.execute("DELETE FROM owner_members WHERE owner_id = ? AND user_id = ?", who)


def add_project(connection: Connection, owner: str, name: str, visibility: str) -> str:
    """Add a project to an organization or to a user's own space, and return its id.

    Raises `NotFound`, `AlreadyExists`.
    """
    row = connection.execute(
        "SELECT id FROM owners WHERE name = :name UNION ALL SELECT id FROM users WHERE name = :name", {"name": owner}
    ).fetchone()
    if row is None:
        raise NotFound("owner", owner)
    project_id = new_id()
    added = connection.execute(
        "INSERT INTO projects (id, owner_id, name, visibility) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (project_id, row["id"], name, visibility),
    )
    if added.rowcount == 0:
        raise AlreadyExists("project", f"there is a project {owner}/{name} already")
    return project_id


def set_project_member(
    connection: Connection, owner: str, project: str, user_name: str, *, can_write: bool | None
) -> None:
    """Give a user write or read access to a project, or remove it (None). This replaces an earlier membership.

    Raises `NotFound`.
    """
    row = connection.execute(
        f"SELECT id FROM ({_PROJECTS}) AS listed WHERE owner = ? AND name = ?", (owner, project)
    ).fetchone()
    if row is None:
        raise NotFound("project", f"{owner}/{project}")
    who = (row["id"], find_user(connection, user_name).id)
    connection.execute("DELETE FROM project_members WHERE project_id = ? AND user_id = ?", who)
    if can_write is not None:
        connection.execute(
            "INSERT INTO project_members (project_id, user_id, can_write) VALUES (?, ?, ?)", (*who, int(can_write))
        )


def projects(connection: Connection) -> list[RegistryProject]:
    """Return all projects, each with its own members."""

    def members(project_id: str, can_write: bool) -> list[str]:
        rows = connection.execute(
            "SELECT name FROM project_members JOIN users ON users.id = user_id"
            " WHERE project_id = ? AND can_write = ? ORDER BY name",
            (project_id, int(can_write)),
        )
        return [name for (name,) in rows]

    return [
        RegistryProject(
            row["id"], row["owner"], row["name"], row["visibility"], members(row["id"], True), members(row["id"], False)
        )
        for row in connection.execute(f"SELECT * FROM ({_PROJECTS}) AS listed ORDER BY owner, name").fetchall()
    ]


def organizations(connection: Connection) -> list[Organization]:
    """Return all organizations."""
    members = "SELECT name FROM owner_members JOIN users ON users.id = user_id WHERE owner_id = ? ORDER BY name"
    return [
        Organization(row["id"], row["name"], [name for (name,) in connection.execute(members, (row["id"],))])
        for row in connection.execute("SELECT * FROM owners ORDER BY name").fetchall()
    ]


def memberships(connection: Connection, user_id: str) -> list[Membership]:
    """Return the organizations that a user can access, sorted by name."""
    rows = connection.execute(
        "SELECT owners.id, name, max(is_member) AS is_member FROM ("
        "SELECT owner_id, 1 AS is_member FROM owner_members WHERE user_id = :user"
        " UNION ALL SELECT owner_id, 0 FROM project_members JOIN projects ON projects.id = project_id"
        " WHERE user_id = :user) AS found"
        " CROSS JOIN owners WHERE owners.id = found.owner_id GROUP BY owners.id, name ORDER BY name",
        {"user": user_id},
    )
    return [Membership(row["id"], row["name"], bool(row["is_member"])) for row in rows]


def users_sharing_projects(connection: Connection, user_id: str) -> list[tuple[str, str]]:
    """Return id and name of the other users in whose own space a user can access projects, sorted by name."""
    rows = connection.execute(
        "SELECT users.id, users.name FROM users WHERE id <> :user AND id IN (SELECT owner_id FROM projects"
        " JOIN project_members ON project_id = projects.id WHERE user_id = :user) ORDER BY name",
        {"user": user_id},
    )
    return [(row["id"], row["name"]) for row in rows]


def projects_of_owner(connection: Connection, owner_id: str, user_id: str) -> list[ProjectAccess]:
    """Return all projects of an owner, sorted by name, with the memberships of a user."""
    rows = connection.execute(
        "SELECT projects.id, projects.name, visibility, can_write FROM projects"
        " LEFT JOIN project_members ON project_id = projects.id AND user_id = ? WHERE owner_id = ?"
        " ORDER BY projects.name",
        (user_id, owner_id),
    )
    return [ProjectAccess(row["id"], row["name"], row["visibility"], _flag(row["can_write"])) for row in rows]


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)
