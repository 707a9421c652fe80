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
    """Manage the registry's users."""


@user.command("add")
@click.argument("name", callback=check_name)
@click.option("--email", help="The user's email address, which clients show.")
@with_accounts(new=True)
def add_user(accounts: "Accounts", name: str, email: str | None) -> str:
    """Add a user. Then add a key, or issue a token, for the user.

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
    """List the users.

    \b
      roar registry user list --data ./registry
    """
    from roar_publisher.registry.store.users import users

    return [asdict(user) for user in accounts.read(users)]


@user.command("remove")
@click.argument("name")
@with_accounts()
def remove_user(accounts: "Accounts", name: str) -> str:
    """Remove a user, with all keys and tokens. What the user published stays.

    If a TReqs service validates bearer tokens, close the account there first: otherwise its next request creates a new
    user here.

    \b
      roar registry user remove alice --data ./registry
    """
    from roar_publisher.registry.store import users

    accounts.write(users.remove_user, name)
    return f"Removed the user {name}. All keys and sign-ins of this user have ended."


@user.command("link")
@click.argument("name")
@click.argument("subject")
@with_accounts()
def link_user(accounts: "Accounts", name: str, subject: str) -> str:
    """Link NAME to the TReqs account whose id (`sub`) is SUBJECT.

    From then on, whoever signs in with that account is NAME. Without this command, the first sign-in with a verified
    email address is linked to the user who was added with the same address.

    \b
      roar registry user link alice 7d9f3c1e-0b52-4c8a-9f61-2f1d8e5a7b34
    """
    from roar_publisher.registry.store import users

    linked = accounts.write(users.link_user, name, subject)
    return f"{linked.name} is the user of the TReqs account {linked.sub}."


@user.command("sign-in")
@click.argument("name")
@data_option
def sign_in(name: str, data: Path) -> None:
    """Print a code with which NAME can sign in to the registry's pages.

    The code works once, in a browser, within an hour.

    \b
      roar registry user sign-in alice --data ./registry
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
    """Let the key in PUBLIC_KEY (a .pub file) sign for USER.

    \b
      roar registry key add alice ~/.ssh/id_ed25519.pub --data ./registry
    """
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
    """List the SSH keys of users.

    \b
      roar registry key list --data ./registry
    """
    from roar_publisher.registry.store.keys import keys

    return [{"user": name, **asdict(key)} for name, key in accounts.read(keys)]


@key.command("remove")
@click.argument("fingerprint")
@with_accounts()
def remove_key(accounts: "Accounts", fingerprint: str) -> str:
    """Remove the key with this FINGERPRINT (SHA256:…). Its signatures are no longer accepted.

    \b
      roar registry key remove SHA256:FINGERPRINT --data ./registry
    """
    from roar_publisher.registry.store import keys

    accounts.write(keys.remove_key, fingerprint)
    return f"Removed the key {fingerprint}."


@click.group()
def token() -> None:
    """Manage bearer tokens. A token is shown only once; the registry stores only its hash."""


@token.command("issue")
@click.argument("user")
@click.option(
    "--ttl", type=click.IntRange(1, LONGEST_S), default=HOUR_S, show_default=True, help="Lifetime in seconds."
)
@click.option("--auth-json", type=click.Path(path_type=Path), help="Write roar's sign-in file (0600); print no token.")
@click.option("--url", metavar="URL", help="The address to write into --auth-json; default: the one last served at.")
@json_option
@data_option
def issue_token(user: str, ttl: int, auth_json: Path | None, url: str | None, as_json: bool, data: Path) -> None:
    """Sign USER in: print an access token, or write roar's sign-in file.

    With --auth-json, the file also has a refresh token, with which roar renews the sign-in by itself, and the
    registry's address, the only one that roar sends the sign-in to.

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
    """List the sign-ins, with their ids. The tokens themselves are not stored.

    \b
      roar registry token list --data ./registry
    """
    from roar_publisher.registry.store.sign_ins import grants

    return [asdict(grant) for grant in accounts.read(grants)]


@token.command("revoke")
@click.argument("id")
@with_accounts()
def revoke_token(accounts: "Accounts", id: str) -> str:
    """End the sign-in ID. Its access and refresh tokens become invalid at once.

    \b
      roar registry token revoke ID --data ./registry      ID: see token list
    """
    from roar_publisher.registry.store import sign_ins

    accounts.write(sign_ins.revoke, id)
    return f"Revoked the sign-in {id}."
