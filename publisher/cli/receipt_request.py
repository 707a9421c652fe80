"""Asking a registry for the receipt of a lineage that this machine has not published."""

import os
import time
from contextlib import ExitStack
from functools import partial

import anyio
import click

from roar_publisher.auth.receipt_keys import KnownReceiptKeys
from roar_publisher.checking.service import VerifyOrder
from roar_publisher.checking.targets import named_target
from roar_publisher.fetching.asking import lineage_reader
from roar_publisher.glaas.client import Refused
from roar_publisher.glaas.envelope import InvalidReceipt, ReceiptEnvelope, key_blob
from roar_publisher.glaas.field_readers import Unreadable
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.glaas.receipt_replies import ReceiptReply
from roar_publisher.glaas.signature import fingerprint
from roar_publisher.lineage.statement import read_statement
from roar_publisher.net.address import origin
from roar_publisher.state.errors import LocalProblem, Rejected
from roar_publisher.state.home import home_to_read
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason


def request_receipt(lineage_hash: str, registry: str | None, folder: StateFolder) -> bytes:
    """Return the receipt that a registry signs, as the content of a file.

    A credential is sent only if the lineage is not public. The registry's key is pinned if it is its first one, and the
    user is notified of another one.
    Raises Rejected if there is none or it is not valid, and what `RegistryClient.call` raises.
    """
    with ExitStack() as files:
        order = named_target(lineage_hash, registry, folder, files)
    try:
        reply = anyio.run(_ask, order)
        envelope = ReceiptEnvelope.of_document(reply.envelope)
        envelope.require_only_signature(reply.key)
        facts = read_statement(envelope.payload).facts
        if (facts.hash, facts.registry) != (lineage_hash, origin(order.registry)):
            raise InvalidReceipt("it is that of another lineage or registry")
    except (Refused, Unreadable, InvalidReceipt) as error:
        what = f"{order.registry} gives no receipt of {lineage_hash}: {error}"
        raise Rejected(what, next_step="sign in if it is private: roar login", reason=Reason.REJECTED) from error
    _meet_key(facts.registry, reply.key)
    return envelope.as_bytes()


async def _ask(order: VerifyOrder) -> ReceiptReply:
    async with lineage_reader(order.registry, order.intent) as reader:
        return ReceiptReply.read(await reader.find(partial(reader.ask, f"{API_ROOT}/sessions/{order.hash}/receipt")))


def _meet_key(registry: str, key: str) -> None:
    """Pin the key if it is the registry's first one. Tell the user of another one, or why it cannot be pinned."""
    try:
        if KnownReceiptKeys.from_environment(os.environ, home_to_read()).meet(registry, key, time.time()):
            return
        note = f"{registry} signs with another key than before, {fingerprint(key_blob(key))}."
    except LocalProblem as problem:
        note = f"the key of {registry} is not remembered: {problem.what}."
    click.echo(f"Note: {note}\nNext: roar registry trust {registry} --receipt-keys", err=True)
