"""Execution of a finalize: waiting for a turn, hashing in slices, publishing (`finalize`, `pairing`, `turns`)."""

from dataclasses import dataclass
from http import HTTPStatus

import anyio

from roar_publisher.glaas import wire
from roar_publisher.registry.api.service import Service
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import pairing
from roar_publisher.registry.lineages.finalize import Hashing, begin, hash_slice, publish, stop
from roar_publisher.registry.lineages.sessions import Access
from roar_publisher.registry.lineages.turns import Turns

HASHING_ATTEMPTS = 5
"""Maximum number of attempts when other requests keep staging during a finalize."""


@dataclass(frozen=True, slots=True)
class Finalizer:
    """Runs the finalizes of one registry."""

    service: Service
    turns: Turns

    async def finalize(self, access: Access, body: wire.FinalizeRequest, client: str) -> dict[str, object]:
        """Publish the session's lineage and return its receipt. For a closed session, return the existing receipt.

        `client` is as for `Turns.turn`. Cancellation leaves the session either open, or closed with its receipt; repeat
        the call to find out. Raises `Refusal`: as `begin`, `publish`, `Turns.turn` and `Service.scope`; 409 if staging
        continues.
        """
        receipt = await self._begin(access, body)
        if isinstance(receipt, dict):
            # Neither an existing receipt nor a refusal needs a turn.
            return receipt
        async with self.turns.turn(access.session_id, client):
            return await self._finalize(access, body)

    async def _begin(self, access: Access, body: wire.FinalizeRequest) -> Hashing | dict[str, object]:
        features = self.service.features
        check_counts = features is not None and features.finalize_expected_counts
        return await self.service.read(begin, access, body, check_counts=check_counts)

    async def _finalize(self, access: Access, body: wire.FinalizeRequest) -> dict[str, object]:
        for _ in range(HASHING_ATTEMPTS):
            hashing = await self._begin(access, body)
            if isinstance(hashing, dict):
                return hashing
            scope = await self.service.scope(access.caller, body.scope_request)
            await self._hash(access, hashing)
            receipt = await self.service.write(publish, access, body, hashing, scope)
            if receipt is not None:
                return receipt
        raise Refusal(HTTPStatus.CONFLICT, "writes keep arriving in this session: finalize when they are done")

    async def _hash(self, access: Access, hashing: Hashing) -> None:
        """Hash the staged content, and pair its jobs with those of the lineage that already has this hash, if any."""
        again: pairing.Pairing | None = None
        try:
            while not hashing.complete:
                await self.service.read(hash_slice, hashing)
            again = await self.service.read(pairing.begin, access, hashing)
            while again is not None and not again.complete:
                await self.service.write(pairing.pair_slice, again)
        finally:
            with anyio.CancelScope(shield=True):
                await self.service.write(stop, hashing)
                if again is not None:
                    await self.service.write(pairing.stop, again)
