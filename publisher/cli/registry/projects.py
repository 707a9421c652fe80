"""`roar registry owner|project`: the organizations and projects that several users share."""

from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from roar_publisher.cli.registry.data import NAME, Rows, check_name, list_accounts, with_accounts

if TYPE_CHECKING:
    from roar_publisher.registry.store.users import Accounts


def _project_name(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, str]:
    owner, slash, name = value.partition("/")
    if not slash or not NAME.fullmatch(owner) or not NAME.fullmatch(name):
        raise click.BadParameter("a project is named OWNER/NAME", context, parameter)
    return owner, name


@click.group()
def owner() -> None:
    """Manage organizations and their members."""


@owner.command("add")
@click.argument("name", callback=check_name)
@with_accounts(new=True)
def add_owner(accounts: "Accounts", name: str) -> str:
    """Add an organization, whose projects several users share. A user's own space needs none.

    \b
      roar registry owner add acme --data ./registry
    """
    from roar_publisher.registry.store import projects

    owner_id = accounts.write(projects.add_owner, name)
    return f"Added the organization {name} with the id {owner_id}."


@owner.command("member")
@click.argument("name")
@click.argument("user")
@click.option("--remove", is_flag=True, help="Remove USER from the members.")
@with_accounts()
def set_owner_member(accounts: "Accounts", name: str, user: str, remove: bool) -> str:
    """Make USER a member of the organization NAME.

    Members may write to all of its projects.

    \b
      roar registry owner member acme alice
      roar registry owner member acme alice --remove
    """
    from roar_publisher.registry.store import projects

    accounts.write(projects.set_owner_member, name, user, member=not remove)
    return f"{user} is {'not ' if remove else ''}a member of {name}."


@owner.command("list")
@list_accounts
def list_owners(accounts: "Accounts") -> Rows:
    """List the organizations.

    \b
      roar registry owner list --data ./registry
    """
    from roar_publisher.registry.store.projects import organizations

    return [asdict(organization) for organization in accounts.read(organizations)]


@click.group()
def project() -> None:
    """Manage projects and who may read and write them."""


@project.command("add")
@click.argument("name", metavar="OWNER/NAME", callback=_project_name)
@click.option(
    "--visibility",
    type=click.Choice(["private", "public"]),
    default="private",
    show_default=True,
    help="Who may read the project: its members, or everyone.",
)
@with_accounts()
def add_project(accounts: "Accounts", name: tuple[str, str], visibility: str) -> str:
    """Add a project to an organization, or to a user's own space.

    \b
      roar registry owner add acme
      roar registry project add acme/models
      roar registry project member acme/models alice
    """
    from roar_publisher.registry.store import projects

    project_id = accounts.write(projects.add_project, *name, visibility)
    return f"Added the project {'/'.join(name)} with the id {project_id}."


@project.command("member")
@click.argument("name", metavar="OWNER/NAME", callback=_project_name)
@click.argument("user")
@click.option(
    "--access",
    type=click.Choice(["write", "read", "none"]),
    default="write",
    show_default=True,
    help="What USER may do; none removes USER from the project.",
)
@with_accounts()
def set_project_member(accounts: "Accounts", name: tuple[str, str], user: str, access: str) -> str:
    """Set what USER may do in a project. This replaces an earlier setting.

    \b
      roar registry project member acme/models alice --access read
    """
    from roar_publisher.registry.store import projects

    can_write = {"write": True, "read": False}.get(access)
    accounts.write(projects.set_project_member, *name, user, can_write=can_write)
    return f"{user} has {access} access to {'/'.join(name)}."


@project.command("list")
@list_accounts
def list_projects(accounts: "Accounts") -> Rows:
    """List the projects, and the members that each of them has itself.

    \b
      roar registry project list --data ./registry
    """
    from roar_publisher.registry.store.projects import projects

    return [asdict(project) for project in accounts.read(projects)]
