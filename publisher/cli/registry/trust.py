"""`roar registry trust | untrust | trusted`: the registries that the user accepts, and the issuer of the sign-in."""

import json
import os
import time

import click

from roar_publisher.cli.registry.data import json_option
from roar_publisher.state.errors import UsageProblem


@click.command()
@click.argument("url")
@click.option("--sign-in", is_flag=True, help="Also record that this registry issued roar's current sign-in.")
@click.option("--receipt-keys", is_flag=True, help="Also fetch the keys that sign its receipts, and trust them.")
def trust(url: str, sign_in: bool, receipt_keys: bool) -> None:
    """Trust the registry at URL for all projects.

    You allow lineage to be published there, and your SSH key to sign requests to it. roar's sign-in is still sent only
    to the registry that issued it, and ROAR_ACCESS_TOKEN only to an address that you name yourself (--registry,
    GLAAS_URL, or [glaas] url in your own config.toml).

    \b
      roar registry trust https://registry.example
      roar registry trust https://registry.example --receipt-keys
    """
    from roar_publisher.auth.trust import Issuer
    from roar_publisher.net.address import origin, registry_address
    from roar_publisher.publishing.registry_acceptance import user_trust_store

    address, store = registry_address(url, os.environ), user_trust_store()
    accepted = origin(address)
    digest = _present_sign_in() if sign_in else None
    new = store.accept(accepted, time.time())
    if digest is not None:
        store.record_issuer(Issuer(accepted, digest))
        click.echo(f"roar's sign-in belongs to {accepted}, and is sent to no other registry.")
    if receipt_keys:
        from roar_publisher.cli.registry.receipt_trust import believe_receipt_keys

        believe_receipt_keys(address, accepted)
    click.echo(f"{accepted} is trusted{'' if new else ' already'}.")


@click.command()
@click.argument("url")
def untrust(url: str) -> None:
    """Stop trusting the registry at URL.

    You are asked again when a project names it. Interrupted publishes to it stop when they are resumed, unless you
    named the address yourself.

    \b
      roar registry untrust https://registry.example
    """
    from roar_publisher.net.address import origin_of
    from roar_publisher.publishing.registry_acceptance import user_trust_store

    refused = origin_of(url)  # also of http://, which needs ROAR_ALLOW_HTTP only to be used
    if refused is None:
        raise UsageProblem(f"{url} is not the address of a registry", next_step="roar registry trusted")
    if not user_trust_store().revoke(refused):
        raise UsageProblem(f"{refused} was not trusted", next_step="roar registry trusted")
    click.echo(f"{refused} is no longer trusted.")


@click.command()
@json_option
def trusted(as_json: bool) -> None:
    """List the trusted registries, and the one that issued the sign-in.

    \b
      roar registry trusted
    """
    from roar_publisher.publishing.registry_acceptance import user_trust_store

    trust = user_trust_store().read()
    issuer = trust.issuer.origin if trust.issuer is not None else None
    if as_json:
        rows = [{"origin": origin, "since": since} for origin, since in trust.accepted.items()]
        click.echo(json.dumps({"trusted": rows, "sign_in": issuer}))
        return
    for origin, since in trust.accepted.items():
        click.echo(f"{origin}  since {since}")
    if issuer is not None:
        click.echo(f"{issuer}  issued roar's sign-in")
    if not trust.accepted and issuer is None:
        click.echo("No registry is trusted yet, and none is known to have issued a sign-in.", err=True)


def _present_sign_in() -> str:
    """Return the digest of the sign-in in `auth.json`. Raises UsageProblem if there is none."""
    from roar_publisher.auth.bearer_store import BearerStore
    from roar_publisher.auth.signin import LOG_IN
    from roar_publisher.state.home import home_to_read

    present = BearerStore.from_environment({**os.environ, "ROAR_ACCESS_TOKEN": ""}, home_to_read()).current()
    if present is None:
        raise UsageProblem("you are not signed in: there is no auth.json", next_step=LOG_IN)
    return present.digest
