"""The endpoints below `/auth`, and the credential probe (`protocol.md §4`)."""

from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated

from msgspec import Struct
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas import wire
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.accounts.callers import Credential, bearer_of, require_user
from roar_publisher.registry.api.service import RegistryService, number_in_query
from roar_publisher.registry.http.refusals import Refusal, unauthorized
from roar_publisher.registry.lineages.reading import own_lineages

LISTED = 50
MAX_LISTED = 1000


class RefreshRequest(wire.RequestBody):
    """`POST /auth/refresh`."""

    refresh_token: Annotated[wire.Text, Field(min_length=1, max_length=8192)]
    client_id: wire.Text = "roar-cli"


class AuthApi(Struct, frozen=True):
    """Endpoints for signed-in callers."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        return [
            Route(f"{API_ROOT}/sessions", self.own_sessions, methods=["GET"]),
            Route(f"{API_ROOT}/auth/me", self.me, methods=["GET"]),
            Route(f"{API_ROOT}/auth/access-context", self.access_context, methods=["GET"]),
            Route(f"{API_ROOT}/auth/refresh", self.refresh, methods=["POST"]),
            Route(f"{API_ROOT}/auth/logout", self.logout, methods=["POST"]),
        ]

    async def own_sessions(self, request: Request) -> JSONResponse:
        """Return the caller's published lineages, newest first. Clients that probe a credential ask for one."""
        caller = await self.service.caller(request)
        require_user(caller)
        limit = number_in_query(request, "limit", default=LISTED, maximum=MAX_LISTED)
        lineages = await self.service.read(own_lineages, await self.service.reader(caller), limit)
        return JSONResponse({"sessions": [asdict(lineage) for lineage in lineages]})

    async def me(self, request: Request) -> JSONResponse:
        """Return the credential's user and the creator identity, in the envelope that roar-cli expects."""
        caller = await self.service.caller(request)
        user = require_user(caller)
        me = {"user": {"id": user.id, "username": user.name, "email": user.email}, "creatorIdentity": caller.identity}
        return JSONResponse({"success": True, "data": me})

    async def access_context(self, request: Request) -> JSONResponse:
        """Return the owners and projects that the caller can access, in the envelope that treqs-cli requires."""
        caller = await self.service.caller(request)
        require_user(caller)
        if caller.credential is not Credential.BEARER:
            raise Refusal(HTTPStatus.FORBIDDEN, "the access context needs a bearer token: sign in with one")
        context = await self.service.context(caller)
        assert context is not None
        return JSONResponse({"success": True, "data": context.model_dump()})

    async def refresh(self, request: Request) -> JSONResponse:
        """Exchange a refresh token for new tokens.

        `Authorization` is ignored, because the refresh token is the credential.
        """
        body = await self.service.body(request, RefreshRequest)
        tokens = await self.service.caller_identifier.authority.refresh(body.refresh_token, body.client_id)
        return JSONResponse(tokens)

    async def logout(self, request: Request) -> JSONResponse:
        """Revoke the access and refresh tokens of a bearer's sign-in. An expired bearer is accepted, too."""
        token = bearer_of(request.headers.get("authorization"))
        if token is None or not await self.service.caller_identifier.authority.revoke(token):
            raise unauthorized("there is no sign-in to end: send its bearer token")
        return JSONResponse({"success": True, "data": {"revoked": True}})
