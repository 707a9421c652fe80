"""The endpoints of fragment sessions, which roar-cli uses from Ray and Kubernetes (`lineages.fragments`)."""

import json
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Annotated

from msgspec import Struct
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas import wire
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.accounts.callers import ANONYMOUS_CALLER
from roar_publisher.registry.accounts.signin_file import iso_time
from roar_publisher.registry.api.service import RegistryService, path_text
from roar_publisher.registry.http.refusals import unauthorized
from roar_publisher.registry.lineages import fragments
from roar_publisher.registry.lineages.fragments import FragmentAccess

TOKEN_HEADER = "x-roar-fragment-token"
LONGEST_TOKEN = 256
DEFAULT_SECONDS = 24 * 3600

SessionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{8,128}$")]


class FragmentSessionRequest(wire.RequestBody):
    """`POST /fragments/sessions`. `token_hash` is the SHA-256 of the token."""

    session_id: SessionName
    token_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    ttl_seconds: wire.Count = DEFAULT_SECONDS


class FragmentRenewal(wire.RequestBody):
    """`…/renew`."""

    ttl_seconds: wire.Count = DEFAULT_SECONDS


class FragmentBatchRequest(wire.RequestBody):
    """`POST …/fragments`. The batch is base64."""

    encrypted_batch: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=_-]+$")]
    sequence: wire.Count = 0


class FragmentApi(Struct, frozen=True):
    """Endpoints of fragment sessions. The session's token is their only credential, except for opening one."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes, the busiest first."""
        root = f"{API_ROOT}/fragments/sessions"
        return [
            Route(f"{root}/{{id}}/fragments", self.append, methods=["POST"]),
            Route(f"{root}/{{id}}/fragments", self.read, methods=["GET"]),
            Route(f"{root}/{{id}}/renew", self.renew, methods=["POST"]),
            Route(root, self.open, methods=["POST"]),
        ]

    async def open(self, request: Request) -> JSONResponse:
        """Open a session for the holders of a token. Anybody may; without a credential, it counts against the quota."""
        caller = await self.service.caller(request)
        body = await self.service.body(request, FragmentSessionRequest)
        session = (body.session_id, caller.owner, body.token_hash, body.ttl_seconds, self.service.clock())
        expires_at, created = await self.service.write_from(request, caller, fragments.open_session, *session)
        reply = {"session_id": body.session_id, "expires_at": iso_time(expires_at), "created": created}
        return JSONResponse(reply, HTTPStatus.CREATED if created else HTTPStatus.OK)

    async def append(self, request: Request) -> JSONResponse:
        """Append an encrypted batch. It counts against the quota if the session was opened without a credential."""
        access = self._access(request)
        session = await self.service.read(fragments.find_session, access)
        body = await self.service.body(request, FragmentBatchRequest)
        batch = (access, body.sequence, body.encrypted_batch)
        if session.owner:
            await self.service.write(fragments.append, *batch)
        else:
            await self.service.write_from(request, ANONYMOUS_CALLER, fragments.append, *batch)
        return JSONResponse({"stored": True, "sequence": body.sequence}, HTTPStatus.CREATED)

    async def read(self, request: Request) -> StreamingResponse:
        """Return all batches of a session, in the order in which they came."""
        session = await self.service.read(fragments.live_session, self._access(request))
        return StreamingResponse(self._batches(session.id), media_type="application/json")

    async def renew(self, request: Request) -> JSONResponse:
        """Let a session expire later."""
        access = self._access(request)
        body = await self.service.body(request, FragmentRenewal)
        expires_at = await self.service.write(fragments.renew, access, body.ttl_seconds)
        return JSONResponse({"session_id": access.name, "expires_at": iso_time(expires_at)})

    async def _batches(self, session_id: int) -> AsyncIterator[str]:
        yield '{"fragments": ['
        after = 0
        while batches := await self.service.read(fragments.page, session_id, after):
            shown = [{"sequence": batch.sequence, "encrypted_batch": batch.text} for batch in batches]
            yield (", " if after else "") + json.dumps(shown)[1:-1]
            after = batches[-1].number
        yield "]}"

    def _access(self, request: Request) -> FragmentAccess:
        token = request.headers.get(TOKEN_HEADER, "")
        if not 0 < len(token) <= LONGEST_TOKEN:
            raise unauthorized(f"send the token of the fragment session: {TOKEN_HEADER}")
        return FragmentAccess(path_text(request, "id"), token, self.service.clock())
