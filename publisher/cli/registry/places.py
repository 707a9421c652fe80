"""`roar registry owner|project`: manages where users may publish privately together."""

from dataclasses import asdict
from pathlib import Path

import click

from roar_publisher.cli.registry.data import NAME, as_json, data_option, listed, named, opened


def _project_name(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, str]:
    owner, slash, name = value.partition("/")
    if not slash or not NAME.fullmatch(owner) or not NAME.fullmatch(name):
        raise click.BadParameter("a project is named OWNER/NAME", context, parameter)
    return owner, name


@click.group()
def owner() -> None:
    """Organizations, and who belongs to them."""


@owner.command("add")
@click.argument("name", callback=named)
@data_option
def add_owner(name: str, data: Path) -> None:
    """Add an organization.  A user is the owner of a space of that name without it."""
    from roar_publisher.registry.store import projects as directory

    with opened(data, new=True) as store:
        owner_id = store.write(directory.add_owner, name)
    click.echo(f"{name} is added, with the id {owner_id}")


@owner.command("member")
@click.argument("name")
@click.argument("user")
@click.option("--remove", is_flag=True, help="USER is no member any more.")
@data_option
def set_owner_member(name: str, user: str, remove: bool, data: Path) -> None:
    """Make USER a member of the organization NAME, who writes to all its directory."""
    from roar_publisher.registry.store import projects as directory

    with opened(data) as store:
        store.write(directory.set_owner_member, name, user, member=not remove)
    click.echo(f"{user} is {'no' if remove else 'a'} member of {name}")


@owner.command("list")
@as_json
@data_option
def list_owners(as_json: bool, data: Path) -> None:
    """List the organizations."""
    from roar_publisher.registry.store import projects as directory

    with opened(data) as store:
        organizations = store.read(directory.organizations)
    listed(as_json, [asdict(organization) for organization in organizations])


@click.group()
def project() -> None:
    """Projects, and who may read and write them."""


@project.command("add")
@click.argument("name", metavar="OWNER/NAME", callback=_project_name)
@click.option("--visibility", type=click.Choice(["private", "public"]), default="private", show_default=True)
@data_option
def add_project(name: tuple[str, str], visibility: str, data: Path) -> None:
    """Add a project to an organization, or to a user's own space.

    \b
      roar registry owner add acme
      roar registry project add acme/models
      roar registry project member acme/models alice
    """
    from roar_publisher.registry.store import projects as directory

    with opened(data) as store:
        project_id = store.write(directory.add_project, *name, visibility)
    click.echo(f"{'/'.join(name)} is added, with the id {project_id}")


@project.command("member")
@click.argument("name", metavar="OWNER/NAME", callback=_project_name)
@click.argument("user")
@click.option("--access", type=click.Choice(["write", "read", "none"]), default="write", show_default=True)
@data_option
def set_project_member(name: tuple[str, str], user: str, access: str, data: Path) -> None:
    """Say what USER may do in a project.  The last word counts."""
    from roar_publisher.registry.store import projects as directory

    can_write = {"write": True, "read": False}.get(access)
    with opened(data) as store:
        store.write(directory.set_project_member, *name, user, can_write=can_write)
    click.echo(f"{user} has {access} access to {'/'.join(name)}")


@project.command("list")
@as_json
@data_option
def list_projects(as_json: bool, data: Path) -> None:
    """List the projects, with the members that are named for each."""
    from roar_publisher.registry.store import projects as directory

    with opened(data) as store:
        projects = store.read(directory.projects)
    listed(as_json, [asdict(project) for project in projects])
