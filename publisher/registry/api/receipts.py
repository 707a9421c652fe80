"""The endpoints of receipts: a lineage's statement, signed with the registry's key, and its public keys."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from http import HTTPStatus

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas.envelope import ReceiptEnvelope
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.api.service import RegistryService, path_text
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.receipts import receipt_statement

logger = logging.getLogger(__name__)


class ReceiptApi(Struct, frozen=True):
    """Endpoints for receipts. They change nothing that is published."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        return [
            Route(f"{API_ROOT}/sessions/{{hash}}/receipt", self.receipt, methods=["GET"]),
            Route(f"{API_ROOT}/receipt-keys", self.keys, methods=["GET"]),
        ]

    async def receipt(self, request: Request) -> JSONResponse:
        """Return the signed receipt of a finalized lineage, and the key that signed it, to whoever may read it."""
        reader = await self.service.reader(await self.service.caller(request))
        names = self.service.caller_identifier.names
        registry = _registry_of(request, names.public if names is not None else ())
        payload = await self.service.read(receipt_statement, path_text(request, "hash"), reader, registry)
        try:
            envelope, key = await self.service.run(partial(self._signed, ReceiptEnvelope(payload)))
        except OSError as error:
            raise _no_key(error) from error
        return JSONResponse({"envelope": envelope.document(), "key": key})

    async def keys(self, request: Request) -> JSONResponse:
        """Return the public keys that receipts are, or were, signed with; the current one first."""
        try:
            keys = await self.service.run(self.service.store.receipt_keys.all)
        except OSError as error:
            raise _no_key(error) from error
        return JSONResponse({"keys": [asdict(each) for each in keys]})

    def _signed(self, envelope: ReceiptEnvelope) -> tuple[ReceiptEnvelope, str]:
        signature, key = self.service.store.receipt_keys.sign(envelope.signed_bytes)
        return envelope.signed_also(signature), key


def _registry_of(request: Request, public: Sequence[str]) -> str:
    """Return the origin that this client uses, or else the first one that the registry is configured with."""
    used = f"{request.base_url.scheme}://{request.base_url.netloc}"
    return used if used in public or not public else public[0]


def _no_key(error: OSError) -> Refusal:
    # A 5xx that clients repeat would hold up a publish that is complete.
    logger.error("no receipt can be signed: %s", error)
    return Refusal(HTTPStatus.NOT_IMPLEMENTED, "this registry cannot sign receipts now: its own key cannot be used")
