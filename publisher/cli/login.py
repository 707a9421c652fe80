"""`roar login`, used if roar-cli is not installed: sign in with a token file."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.home import home
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NamedBy
from roar_publisher.text import fitted

if TYPE_CHECKING:
    from roar_publisher.auth.bearer_store import BearerStore
    from roar_publisher.auth.send_policy import SendPolicy
    from roar_publisher.auth.signin import Document

PATIENCE_SECONDS = 30.0
LONGEST_NAME = 100
"""Characters of a name that are shown: the registry chooses it."""


@click.command()
@click.option("--token-file", required=True, type=click.Path(path_type=Path), help="A file in the form of auth.json.")
@click.option("--registry", metavar="URL", help="The registry that issued it, instead of GLAAS_URL or your own config.")
def login(token_file: Path, registry: str | None) -> None:
    """Sign in with a token file, which the registry that issued it has to confirm.

    From then on, the sign-in is sent only to that registry. If only the project names the registry, no token is sent
    to it: name it with --registry. To sign in with a browser, install roar-cli (pip install roar-cli), which shares
    this sign-in.

    \b
      roar login --token-file token.json --registry https://registry.example
    """
    import anyio

    from roar_publisher.auth.bearer_store import BearerStore
    from roar_publisher.auth.login import read_token_file

    document = read_token_file(token_file)
    store = BearerStore.from_environment(
        {**os.environ, "ROAR_ACCESS_TOKEN": ""}, home(instead=os.environ.get("XDG_CONFIG_HOME"))
    )
    policy = _policy_for(registry, document)
    name = anyio.run(functools.partial(_sign_in, store, document, policy))
    click.echo(f"Signed in as {fitted(name, LONGEST_NAME)} at {policy.origin}; kept in {store.path}.")


async def _sign_in(store: BearerStore, document: Document, policy: SendPolicy) -> str:
    from roar_publisher.auth.login import verify
    from roar_publisher.glaas.opening import open_client

    async with open_client(policy.registry, patience=PATIENCE_SECONDS) as client:
        full = await verify(document, client)
    await store.save(full)
    policy.record_issuer(full.sign_in())
    user = full["user"]
    assert isinstance(user, dict)
    return str(user.get("username") or user.get("email") or user.get("sub") or "a user that the registry does not name")


def _policy_for(registry: str | None, document: Document) -> SendPolicy:
    """Return the registry to send the token to. Raises NeedsUser if the user has not named one."""
    from roar_publisher.engine.credentials import user_send_policy
    from roar_publisher.lineage.config import NamedRegistry
    from roar_publisher.lineage.project import registry_here
    from roar_publisher.net.address import registry_address

    if registry or os.environ.get("GLAAS_URL", "").strip():
        named = NamedRegistry(registry or os.environ["GLAAS_URL"], NamedBy.OPTION)
        return user_send_policy(registry_address(named.url, os.environ), named.by)
    named, _key = registry_here(os.environ, None)
    policy = user_send_policy(registry_address(named.url, os.environ), named.by)
    denied = policy.why_token_denied() or policy.why_sign_in_denied(document.sign_in())
    if denied is not None:
        why = "only the project names it" if named.file else denied.why
        raise NeedsUser(
            f"this token may not be sent to {policy.origin}: {why}",
            kept="Nothing was sent. The current sign-in is kept.",
            next_step="name the registry that issued it: --registry URL",
            reason=Reason.AUTH,
        )
    return policy
