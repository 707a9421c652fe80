"""`roar login`, where roar-cli is not installed: sign in with a token file."""

from __future__ import annotations

import functools
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.home import home

if TYPE_CHECKING:
    from roar_publisher.auth.bearer import BearerStore
    from roar_publisher.auth.signin import Document

PATIENCE_SECONDS = 30.0


@click.command()
@click.option("--token-file", required=True, type=click.Path(path_type=Path), help="A sign-in state, as JSON.")
@click.option("--registry", metavar="URL", help="Instead of GLAAS_URL or the project's [glaas] url.")
def login(token_file: Path, registry: str | None) -> None:
    """Sign in with a token file; the registry is asked whose it is.

    Signing in with a browser comes with roar-cli (pip install roar-cli), which shares this sign-in.

    \b
      roar login --token-file token.json
    """
    import anyio

    from roar_publisher.auth.bearer import BearerStore
    from roar_publisher.auth.login import read_token_file

    document = read_token_file(token_file)
    store = BearerStore.from_environment(
        {**os.environ, "ROAR_ACCESS_TOKEN": ""}, home(instead=os.environ.get("XDG_CONFIG_HOME"))
    )
    name = anyio.run(functools.partial(_sign_in, store, document, _address(registry)))
    click.echo(f"Signed in as {name}; kept in {store.path}.")


async def _sign_in(store: BearerStore, document: Document, registry: str) -> str:
    from roar_publisher.auth.login import checked
    from roar_publisher.glaas.caller import Caller
    from roar_publisher.glaas.line import Line

    async with Line(registry, most_requests=1) as line:
        caller = Caller(
            line,
            patience=PATIENCE_SECONDS,
            rng=random.Random(),  # nosec B311  # jitter of waits, no secret
            clock=time.time,
            report=lambda report: None,
        )
        full = await checked(document, caller)
    await store.keep(full)
    user = full["user"]
    assert isinstance(user, dict)
    return str(
        user.get("username") or user.get("email") or user.get("sub") or "somebody that the registry does not name"
    )


def _address(registry: str | None) -> str:
    from roar_publisher.glaas.address import registry_address
    from roar_publisher.lineage.project import DEFAULT_REGISTRY, current_folder, find_project

    try:
        known = find_project(current_folder()).registry_url(os.environ)
    except LocalProblem:
        known = os.environ.get("GLAAS_URL") or DEFAULT_REGISTRY
    return registry_address(registry or known, os.environ)
