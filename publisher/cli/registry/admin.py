"""`roar registry user|key|token`: manages the accounts of your own registry, whether it runs or not."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from roar_publisher.cli.registry.data import as_json, data_option, format_time, listed, named, opened
from roar_publisher.cli.registry.places import owner, project
from roar_publisher.state.errors import LocalProblem, UsageProblem

HOUR_S = 3600


@click.group()
def account_commands() -> None:
    """People, keys, tokens and projects of a registry of your own."""


@click.group()
def user() -> None:
    """Who may sign in."""


@user.command("add")
@click.argument("name", callback=named)
@click.option("--email", help="Shown to the user's clients, for people to read.")
@data_option
def add_user(name: str, email: str | None, data: Path) -> None:
    """Add a user, who needs a key or a token next.

    \b
      roar registry user add alice --email alice@example.org
      roar registry key add alice ~/.ssh/id_ed25519.pub
    """
    from roar_publisher.registry.store import users as accounts

    with opened(data, new=True) as store:
        added = store.write(accounts.add_user, name, email=email)
    click.echo(f"{added.name} is added, with the id {added.id}")


@user.command("list")
@as_json
@data_option
def list_users(as_json: bool, data: Path) -> None:
    """List the users."""
    from roar_publisher.registry.store import users as accounts

    with opened(data) as store:
        users = store.read(accounts.users)
    listed(as_json, [asdict(user) for user in users])


@user.command("remove")
@click.argument("name")
@data_option
def remove_user(name: str, data: Path) -> None:
    """Remove a user with keys and tokens.  What the user published stays."""
    from roar_publisher.registry.store import users as accounts

    with opened(data) as store:
        store.write(accounts.remove_user, name)
    click.echo(f"{name} is removed, and cannot sign in any more")


@click.group()
def key() -> None:
    """SSH keys that sign for users."""


@key.command("add")
@click.argument("user")
@click.argument("public_key", type=click.Path(path_type=Path))
@data_option
def add_key(user: str, public_key: Path, data: Path) -> None:
    """Let the key in PUBLIC_KEY (a .pub file) sign for USER."""
    from roar_publisher.registry.accounts.public_keys import InvalidKey, parse_key
    from roar_publisher.registry.store import keys

    try:
        parsed = parse_key(public_key.read_text("utf-8"))
    except OSError as error:
        raise LocalProblem(f"{public_key} cannot be read: {error.strerror}", next_step=f"ls -l {public_key}") from error
    except (InvalidKey, UnicodeDecodeError) as error:
        why = str(error) if isinstance(error, InvalidKey) else "it is no text"
        raise UsageProblem(
            f"{public_key} holds no public key that can be used: {why}", next_step="name a .pub file"
        ) from error
    with opened(data) as store:
        store.write(keys.add_key, user, parsed)
    click.echo(f"{parsed.fingerprint} signs for {user}")


@key.command("list")
@as_json
@data_option
def list_keys(as_json: bool, data: Path) -> None:
    """List the keys."""
    from roar_publisher.registry.store import keys

    with opened(data) as store:
        known = store.read(keys.keys)
    listed(as_json, [{"user": name, **asdict(key)} for name, key in known])


@key.command("remove")
@click.argument("fingerprint")
@data_option
def remove_key(fingerprint: str, data: Path) -> None:
    """From now on the key with this FINGERPRINT (SHA256:…) signs for nobody."""
    from roar_publisher.registry.store import keys

    with opened(data) as store:
        store.write(keys.remove_key, fingerprint)
    click.echo(f"{fingerprint} signs for nobody any more")


@click.group()
def token() -> None:
    """Bearer tokens.  They are shown once, and kept as hashes only."""


@token.command("issue")
@click.argument("user")
@click.option("--ttl", type=click.IntRange(min=1), default=HOUR_S, show_default=True, help="Seconds it lives.")
@click.option("--auth-json", type=click.Path(path_type=Path), help="Write roar's sign-in file (0600), show nothing.")
@click.option("--url", metavar="URL", help="The registry's address, if it is not the one where it served last.")
@as_json
@data_option
def issue_token(user: str, ttl: int, auth_json: Path | None, url: str | None, as_json: bool, data: Path) -> None:
    """Sign USER in: print an access token, or write the file that roar keeps it in.

    The file also holds a refresh token, so roar renews the sign-in by itself, and the registry's address: roar sends
    the sign-in to no other one.

    \b
      ROAR_ACCESS_TOKEN=$(roar registry token issue ci --ttl 600) roar publish --private
      roar registry token issue alice --auth-json ~/.config/roar/auth.json
    """
    import time

    from roar_publisher.net.address import registry_address
    from roar_publisher.registry.accounts import grants
    from roar_publisher.registry.accounts.signin_file import last_address, sign_in_document, write_new

    if auth_json is not None and auth_json.exists():
        raise UsageProblem(f"{auth_json} holds a sign-in already", next_step=f"rm {auth_json}, or name another file")
    issuer = registry_address(url, os.environ) if url is not None else last_address(data)
    with opened(data) as store:
        holder, tokens = store.write(grants.issue, user, now=time.time(), lifetime=float(ttl))
    document = sign_in_document(holder, tokens, issuer=issuer)
    if auth_json is not None:
        try:
            write_new(auth_json, document)
        except OSError as error:
            raise LocalProblem(
                f"{auth_json} cannot be written: {error.strerror}", next_step="name another file"
            ) from error
        click.echo(f"{holder.name} is signed in by {auth_json}, until it is revoked: {tokens.grant_id}")
    elif as_json:
        click.echo(json.dumps({"id": tokens.grant_id, **document}))
    else:
        click.echo(tokens.access_token)
        click.echo(f"until {format_time(tokens.expires_at)}; to revoke it: {tokens.grant_id}", err=True)


@token.command("list")
@as_json
@data_option
def list_tokens(as_json: bool, data: Path) -> None:
    """List the sign-ins; the tokens themselves are not kept."""
    from roar_publisher.registry.store import sign_ins

    with opened(data) as store:
        known = store.read(sign_ins.grants)
    listed(as_json, [asdict(grant) for grant in known])


@token.command("revoke")
@click.argument("id")
@data_option
def revoke_token(id: str, data: Path) -> None:
    """End the sign-in ID: its access and refresh tokens are dead at once."""
    from roar_publisher.registry.store import sign_ins

    with opened(data) as store:
        store.write(sign_ins.revoke, id)
    click.echo(f"{id} is revoked")


for group in (user, key, token, owner, project):
    account_commands.add_command(group)
