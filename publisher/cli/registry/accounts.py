"""`roar registry user|key|token`: the accounts of your own registry, whether it is running or not."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from roar_publisher.cli.registry.data import (
    Rows,
    check_name,
    data_option,
    format_time,
    json_option,
    list_accounts,
    open_accounts,
    with_accounts,
)
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.shell import shell_word

if TYPE_CHECKING:
    from roar_publisher.registry.store.users import Accounts

HOUR_S = 3600
LONGEST_S = 10**10
"""Three hundred years. The calendar has no dates for much longer lifetimes."""


@click.group()
def user() -> None:
    """Manage the users who may sign in."""


@user.command("add")
@click.argument("name", callback=check_name)
@click.option("--email", help="Address that the user's clients show.")
@with_accounts(new=True)
def add_user(accounts: "Accounts", name: str, email: str | None) -> str:
    """Add a user, who needs a key or a token next.

    \b
      roar registry user add alice --email alice@example.org
      roar registry key add alice ~/.ssh/id_ed25519.pub
    """
    from roar_publisher.registry.store import users

    added = accounts.write(users.add_user, name, email=email)
    return f"Added the user {added.name} with the id {added.id}."


@user.command("list")
@list_accounts
def list_users(accounts: "Accounts") -> Rows:
    """List the users."""
    from roar_publisher.registry.store.users import users

    return [asdict(user) for user in accounts.read(users)]


@user.command("remove")
@click.argument("name")
@with_accounts()
def remove_user(accounts: "Accounts", name: str) -> str:
    """Remove a user with keys and tokens. What the user published stays.

    Where a TReqs service validates bearers, end the account there, too: it makes a new user here with its next request.
    """
    from roar_publisher.registry.store import users

    accounts.write(users.remove_user, name)
    return f"Removed the user {name}. All keys and sign-ins that the registry had issued to them have ended."


@user.command("link")
@click.argument("name")
@click.argument("subject")
@with_accounts()
def link_user(accounts: "Accounts", name: str, subject: str) -> str:
    """Link NAME to the TReqs account whose id (`sub`) is SUBJECT.

    A person who signs in with that account is NAME from then on. Without this, the first sign-in with a verified email
    address links the user who was added with the same address.
    """
    from roar_publisher.registry.store import users

    linked = accounts.write(users.link_user, name, subject)
    return f"{linked.name} is the user of the TReqs account {linked.sub}."


@user.command("sign-in")
@click.argument("name")
@data_option
def sign_in(name: str, data: Path) -> None:
    """Print a code with which NAME signs in to the registry's pages.

    It works in a browser, once and within an hour.
    """
    import time

    from roar_publisher.registry.accounts.browser_sessions import issue_code
    from roar_publisher.registry.accounts.signin_file import last_address

    with open_accounts(data) as accounts:
        code = accounts.write(issue_code, name, time.time())
    click.echo(code)
    page = f"{last_address(data) or '(address of the registry)'}/sign-in"
    click.echo(f"{name} enters it at {page}, once and within an hour.", err=True)


@click.group()
def key() -> None:
    """Manage the SSH keys of users, and the key that signs receipts."""


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
        next_step = f"ls -l {shell_word(str(public_key))}"
        raise LocalProblem(f"cannot read {public_key}: {error.strerror}", next_step=next_step) from error
    except (InvalidKey, UnicodeDecodeError) as error:
        why = str(error) if isinstance(error, InvalidKey) else "it is not a text file"
        raise UsageProblem(
            f"{public_key} does not hold a usable public key: {why}", next_step="name a .pub file"
        ) from error
    with open_accounts(data) as accounts:
        accounts.write(keys.add_key, user, parsed)
    click.echo(f"{parsed.fingerprint} now signs for {user}.")


@key.command("list")
@list_accounts
def list_keys(accounts: "Accounts") -> Rows:
    """List the keys."""
    from roar_publisher.registry.store.keys import keys

    return [{"user": name, **asdict(key)} for name, key in accounts.read(keys)]


@key.command("remove")
@click.argument("fingerprint")
@with_accounts()
def remove_key(accounts: "Accounts", fingerprint: str) -> str:
    """Remove the key with this FINGERPRINT (SHA256:…). Its signatures are not accepted any more."""
    from roar_publisher.registry.store import keys

    accounts.write(keys.remove_key, fingerprint)
    return f"Removed the key {fingerprint}."


@click.group()
def token() -> None:
    """Manage bearer tokens. They are shown once, and only their hashes are stored."""


@token.command("issue")
@click.argument("user")
@click.option(
    "--ttl", type=click.IntRange(1, LONGEST_S), default=HOUR_S, show_default=True, help="Lifetime in seconds."
)
@click.option("--auth-json", type=click.Path(path_type=Path), help="Write roar's sign-in file (0600); print no token.")
@click.option("--url", metavar="URL", help="Address of the registry, if it is not the last one that it had.")
@json_option
@data_option
def issue_token(user: str, ttl: int, auth_json: Path | None, url: str | None, as_json: bool, data: Path) -> None:
    """Sign USER in: print an access token, or write roar's sign-in file.

    The file also holds a refresh token, so roar renews the sign-in by itself, and the registry's address: roar sends
    the sign-in to no other one.

    \b
      roar registry token issue ci --ttl 600      for ROAR_ACCESS_TOKEN
      roar registry token issue alice --auth-json ~/.config/roar/auth.json
    """
    import time

    from roar_publisher.net.address import registry_address
    from roar_publisher.registry.accounts import grants
    from roar_publisher.registry.accounts.signin_file import last_address, sign_in_document, write_new

    if auth_json is not None and auth_json.exists():
        raise UsageProblem(f"{auth_json} holds a sign-in already", next_step=f"rm {auth_json}, or name another file")
    issuer = registry_address(url, os.environ) if url is not None else last_address(data)
    with open_accounts(data) as accounts:
        holder, tokens = accounts.write(
            grants.issue, user, now=time.time(), lifetime=float(ttl), renewable=auth_json is not None or as_json
        )
    document = sign_in_document(holder, tokens, issuer=issuer)
    if auth_json is not None:
        try:
            write_new(auth_json, document)
        except OSError as error:
            raise LocalProblem(f"cannot write {auth_json}: {error.strerror}", next_step="name another file") from error
        click.echo(f"Signed {holder.name} in with {auth_json}. The id of the sign-in, to revoke it: {tokens.grant_id}")
    elif as_json:
        click.echo(json.dumps({"id": tokens.grant_id, **document}))
    else:
        click.echo(tokens.access_token)
        click.echo(f"Valid until {format_time(tokens.expires_at)}. The id, to revoke it: {tokens.grant_id}", err=True)


@token.command("list")
@list_accounts
def list_tokens(accounts: "Accounts") -> Rows:
    """List the sign-ins. The tokens themselves are not stored."""
    from roar_publisher.registry.store.sign_ins import grants

    return [asdict(grant) for grant in accounts.read(grants)]


@token.command("revoke")
@click.argument("id")
@with_accounts()
def revoke_token(accounts: "Accounts", id: str) -> str:
    """End the sign-in ID. Its access and refresh tokens become invalid at once."""
    from roar_publisher.registry.store import sign_ins

    accounts.write(sign_ins.revoke, id)
    return f"Revoked the sign-in {id}."
