"""Execution of a finalize: waiting for a turn, hashing in slices, publishing (`finalize`, `pairing`, `turns`)."""

from http import HTTPStatus

import anyio
from msgspec import Struct

from roar_publisher.glaas import wire
from roar_publisher.registry.api.service import RegistryService
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import pairing
from roar_publisher.registry.lineages.finalize import Hashing, begin, hash_slice, publish, receipt_if_closed, stop
from roar_publisher.registry.lineages.registration import Access
from roar_publisher.registry.lineages.turns import Turns

HASHING_ATTEMPTS = 5
"""Maximum number of attempts when other requests keep staging during a finalize."""


class Finalizer(Struct, frozen=True):
    """Runs the finalizes of one registry."""

    service: RegistryService
    turns: Turns

    async def finalize(self, access: Access, body: wire.FinalizeRequest, client: str) -> dict[str, object]:
        """Publish the session's lineage and return its receipt. For a closed session, return the existing receipt.

        `client` is as for `Turns.turn`. Cancellation leaves the session either open, or closed with its receipt; repeat
        the call to find out. Raises `Refusal`: as `receipt_if_closed`, `publish`, `Turns.turn` and
        `RegistryService.scope`; 409 if staging continues.
        """
        receipt = await self._receipt_if_closed(access, body)
        if receipt is not None:
            # Neither an existing receipt nor a refusal needs a turn.
            return receipt
        async with self.turns.turn(access.session_id, client):
            return await self._finalize(access, body)

    async def _receipt_if_closed(self, access: Access, body: wire.FinalizeRequest) -> dict[str, object] | None:
        features = self.service.features
        check_counts = features is not None and features.finalize_expected_counts
        return await self.service.read(receipt_if_closed, access, body, check_counts=check_counts)

    async def _finalize(self, access: Access, body: wire.FinalizeRequest) -> dict[str, object]:
        for _ in range(HASHING_ATTEMPTS):
            receipt = await self._receipt_if_closed(access, body)
            if receipt is None:
                hashing = await self.service.read(begin, access, body)
                await self.service.scope(access.caller, body.scope_request)  # refused before the work
                await self._hash(access, hashing)
                # Hashing takes time, in which the user may have lost access, or the project may have become private.
                scope = await self.service.scope(access.caller, body.scope_request)
                receipt = await self.service.write_durably(publish, access, body, hashing, scope)
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
