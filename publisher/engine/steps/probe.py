"""PROBE: checks that a GLaaS registry answers, and what it supports."""

from msgspec.structs import asdict

from roar_publisher.engine.run import (
    GZIP_BODIES,
    LEGACY_LINKS_IN_BULK,
    MAX_BODY_BYTES,
    RECEIPTS,
    SIGNATURE_HOST,
    Outcome,
    Run,
)
from roar_publisher.glaas.client import HEALTH, Refused
from roar_publisher.glaas.features import Health
from roar_publisher.glaas.protocol import GZIP
from roar_publisher.net.exchange import Reply
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Progress

NO_HEALTH = frozenset({401, 403, 404, 405})
"""Statuses with which an older registry answers `GET /health` (protocol.md §2). It has none of the newer features."""


async def probe(run: Run, _: Progress) -> Outcome:
    """Request the registry's health. What it does not advertise, it does not support (protocol.md §4).

    Raises Transient if the registry is unreachable or if something else answers: treated as an older registry, any web
    server would receive the lineage. Safe to repeat.
    """
    try:
        health = await run.client.call("GET", HEALTH, expect=Health, early=await _early_reply(run))
    except Refused as refusal:
        if refusal.status not in NO_HEALTH:
            raise
        health = Health()
    features = health.features
    run.keyring.signed_form.learn(features.ssh_signature_host)
    gzip_bodies = GZIP in features.request_encodings
    run.client.compression.learn(accepted=gzip_bodies)
    capabilities = asdict(features.registration_sessions) | {
        SIGNATURE_HOST: features.ssh_signature_host,
        GZIP_BODIES: gzip_bodies,
        LEGACY_LINKS_IN_BULK: features.legacy_links_batch,
        RECEIPTS: features.receipts,
    }
    if features.max_body_bytes is not None:
        capabilities[MAX_BODY_BYTES] = features.max_body_bytes
    return Outcome(Event.PROBED, {"capabilities": capabilities})


async def _early_reply(run: Run) -> Reply | None:
    """Return the reply to the request that was sent during the planning, if there is one that may be used."""
    early = run.resources.early_health
    return await early.reply() if early is not None else None
