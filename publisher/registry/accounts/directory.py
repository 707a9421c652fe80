"""Organizations, projects and their members in the registry's own accounts.

A member of an organization may write to all its projects. A member of a single project may read or write it, as the
membership says. A user's own space is also an owner, with the user's id and name, and needs no row.
"""

import sqlite3
from dataclasses import dataclass

from roar_publisher.registry.accounts.context import (
    GUEST,
    MEMBER,
    OWNER,
    AccessContext,
    ContextOwner,
    ContextProject,
    ContextUser,
)
from roar_publisher.registry.accounts.users import Taken, Unknown, User, find_user, new_id


@dataclass(frozen=True, slots=True)
class Project:
    """A project, for listings.

    `owner` is an organization's or a user's name. `writers` and `readers` are names of users.
    """

    id: str
    owner: str
    name: str
    visibility: str
    writers: list[str]
    readers: list[str]


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization, for listings."""

    id: str
    name: str
    members: list[str]


def add_owner(connection: sqlite3.Connection, name: str) -> str:
    """Add an organization and return its id. Raises `Taken`."""
    owner_id = new_id()
    if connection.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone() is not None:
        raise Taken(f"{name} is a user, and owns a space as such")
    try:
        connection.execute("INSERT INTO owners (id, name) VALUES (?, ?)", (owner_id, name))
    except sqlite3.IntegrityError:
        raise Taken(f"there is an owner {name} already") from None
    return owner_id


def set_owner_member(connection: sqlite3.Connection, owner: str, user_name: str, *, member: bool) -> None:
    """Add a user to the members of an organization, or remove the user. Repeating it changes nothing.

    Raises `Unknown`.
    """
    row = connection.execute("SELECT id FROM owners WHERE name = ?", (owner,)).fetchone()
    if row is None:
        raise Unknown(f"there is no owner {owner}")
    who = (row["id"], find_user(connection, user_name).id)
    if member:
        connection.execute("INSERT OR IGNORE INTO owner_members (owner_id, user_id) VALUES (?, ?)", who)
    else:
        connection.execute("DELETE FROM owner_members WHERE owner_id = ? AND user_id = ?", who)


def add_project(connection: sqlite3.Connection, owner: str, name: str, visibility: str) -> str:
    """Add a project to an organization or to a user's own space, and return its id. Raises `Unknown`, `Taken`."""
    row = connection.execute(
        "SELECT id FROM owners WHERE name = ?1 UNION ALL SELECT id FROM users WHERE name = ?1", (owner,)
    ).fetchone()
    if row is None:
        raise Unknown(f"there is no owner {owner}")
    project_id = new_id()
    try:
        connection.execute(
            "INSERT INTO projects (id, owner_id, name, visibility) VALUES (?, ?, ?, ?)",
            (project_id, row["id"], name, visibility),
        )
    except sqlite3.IntegrityError:
        raise Taken(f"there is a project {owner}/{name} already") from None
    return project_id


def set_project_member(
    connection: sqlite3.Connection, owner: str, project: str, user_name: str, *, can_write: bool | None
) -> None:
    """Give a user write or read access to a project, or remove it (None). This replaces an earlier membership.

    Raises `Unknown`.
    """
    row = connection.execute(f"SELECT id FROM ({_PROJECTS}) WHERE owner = ? AND name = ?", (owner, project)).fetchone()
    if row is None:
        raise Unknown(f"there is no project {owner}/{project}")
    who = (row["id"], find_user(connection, user_name).id)
    connection.execute("DELETE FROM project_members WHERE project_id = ? AND user_id = ?", who)
    if can_write is not None:
        connection.execute(
            "INSERT INTO project_members (project_id, user_id, can_write) VALUES (?, ?, ?)", (*who, can_write)
        )


_PROJECTS = """
    SELECT projects.*, coalesce(owners.name, users.name) AS owner FROM projects
    LEFT JOIN owners ON owners.id = owner_id LEFT JOIN users ON users.id = owner_id
"""


def projects(connection: sqlite3.Connection) -> list[Project]:
    """Return all projects, each with its own members."""

    def members(project_id: str, can_write: bool) -> list[str]:
        rows = connection.execute(
            "SELECT name FROM project_members JOIN users ON users.id = user_id"
            " WHERE project_id = ? AND can_write = ? ORDER BY name",
            (project_id, can_write),
        )
        return [name for (name,) in rows]

    return [
        Project(
            row["id"], row["owner"], row["name"], row["visibility"], members(row["id"], True), members(row["id"], False)
        )
        for row in connection.execute(f"SELECT * FROM ({_PROJECTS}) ORDER BY owner, name").fetchall()
    ]


def organizations(connection: sqlite3.Connection) -> list[Organization]:
    """Return all organizations."""
    members = "SELECT name FROM owner_members JOIN users ON users.id = user_id WHERE owner_id = ? ORDER BY name"
    return [
        Organization(row["id"], row["name"], [name for (name,) in connection.execute(members, (row["id"],))])
        for row in connection.execute("SELECT * FROM owners ORDER BY name").fetchall()
    ]


def context_of(connection: sqlite3.Connection, user: User) -> AccessContext:
    """Return the access context of a user, in the shape that TReqs uses (`protocol.md §4`)."""
    owned = connection.execute(
        "SELECT owners.*, user_id IS NOT NULL AS is_member FROM owners"
        " LEFT JOIN owner_members ON owner_members.owner_id = owners.id AND user_id = ?1"
        " WHERE is_member OR id IN (SELECT owner_id FROM projects JOIN project_members ON project_id = projects.id"
        " WHERE user_id = ?1) ORDER BY name",
        (user.id,),
    ).fetchall()
    own = ContextOwner(id=user.id, type="user", username=user.name, display_name=user.name, role=OWNER)
    organized = [
        ContextOwner(
            id=row["id"],
            type="organization",
            username=row["name"],
            display_name=row["name"],
            role=MEMBER if row["is_member"] else GUEST,
        )
        for row in owned
    ]
    foreign = connection.execute(
        "SELECT users.id, users.name FROM users WHERE id <> ?1 AND id IN (SELECT owner_id FROM projects"
        " JOIN project_members ON project_id = projects.id WHERE user_id = ?1) ORDER BY name",
        (user.id,),
    )
    others = [
        ContextOwner(id=row["id"], type="user", username=row["name"], display_name=row["name"], role=GUEST)
        for row in foreign
    ]
    owners = [own, *organized, *others]
    return AccessContext(
        user=ContextUser(id=user.id, sub=user.sub, username=user.name, email=user.email),
        owners=owners,
        projects_by_owner={owner.id: _projects_of(connection, owner, user) for owner in owners},
    )


def _projects_of(connection: sqlite3.Connection, owner: ContextOwner, user: User) -> list[ContextProject]:
    rows = connection.execute(
        "SELECT projects.*, can_write FROM projects"
        " LEFT JOIN project_members ON project_id = projects.id AND user_id = ? WHERE owner_id = ? ORDER BY name",
        (user.id, owner.id),
    )
    everything = owner.role != GUEST
    return [
        ContextProject(
            id=row["id"],
            name=row["name"],
            visibility=row["visibility"],
            can_write=everything or bool(row["can_write"]),
        )
        for row in rows
        if everything or row["can_write"] is not None
    ]
