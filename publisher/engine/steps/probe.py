"""PROBE: is there a GLaaS, and what can it do?"""

from roar_publisher.engine.run import SIGNATURE_HOST, Outcome, Run
from roar_publisher.glaas.caller import HEALTH, Refused
from roar_publisher.glaas.features import Health
from roar_publisher.state.machine import Event

NO_HEALTH = frozenset({401, 403, 404, 405})
"""What an older server says to `GET /health`, in its own words (protocol.md §2): it can do nothing of the new."""


async def probe(run: Run) -> Outcome:
    """Ask for the server's health; what it does not advertise, it can't do (protocol.md §4).

    Raises Transient if it can't be reached, and if something else answers: taken for an older registry, any web server
    would be sent the lineage.  Repeating asks again.
    """
    try:
        health = await run.caller.call("GET", HEALTH, expect=Health)
    except Refused as refusal:
        if refusal.status not in NO_HEALTH:
            raise
        health = Health()
    features = health.features
    run.keyring.signed_host.learn(features.ssh_signature_host)
    capabilities = features.registration_sessions.model_dump() | {SIGNATURE_HOST: features.ssh_signature_host}
    return Outcome(Event.PROBED, {"capabilities": capabilities})
