"""Fetching and pinning the keys with which a registry signs receipts."""

import os
import time

import anyio
import click

from roar_publisher.auth.receipt_keys import KnownReceiptKeys
from roar_publisher.glaas.client import Refused
from roar_publisher.glaas.envelope import key_blob
from roar_publisher.glaas.opening import open_client
from roar_publisher.glaas.receipt_replies import ReceiptKeysReply
from roar_publisher.glaas.signature import fingerprint
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.home import home_to_read
from roar_publisher.state.reasons import Reason

PATIENCE_SECONDS = 20.0


def believe_receipt_keys(address: str, origin: str) -> None:
    """Fetch the keys of the registry at an address, pin them for its origin, and print their fingerprints.

    Repeating it adds what is new. Raises LocalProblem if the registry signs no receipts, Transient if it is away.
    """
    known = KnownReceiptKeys.from_environment(os.environ, home_to_read())
    for public in anyio.run(_fetch, address):
        new = known.add(origin, public, time.time())
        click.echo(f"{fingerprint(key_blob(public))} signs its receipts{'' if new else ' (already trusted)'}.")


async def _fetch(address: str) -> tuple[str, ...]:
    async with open_client(address, patience=PATIENCE_SECONDS) as client:
        try:
            return (await client.call("GET", "/api/v1/receipt-keys", expect=ReceiptKeysReply)).keys
        except Refused as refusal:
            raise LocalProblem(
                f"{address} signs no receipts: {refusal.what}",
                next_step="leave out --receipt-keys",
                reason=Reason.REJECTED,
            ) from refusal
