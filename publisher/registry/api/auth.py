"""Who somebody is: the endpoints below `/auth`, and the auth probe (`protocol.md §4`)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas import wire
from roar_publisher.registry.accounts.callers import Credential, bearer_of, require_user
from roar_publisher.registry.api.public import number_in_query
from roar_publisher.registry.api.service import Service
from roar_publisher.registry.http.refusals import Refusal, unaccepted
from roar_publisher.registry.lineages.reading import own_lineages

LISTED = 50
MOST_LISTED = 1000


class _RefreshRequest(wire.Request):
    refresh_token: Annotated[wire.Text, Field(min_length=1, max_length=8192)]
    client_id: wire.Text = "roar-cli"


@dataclass(frozen=True, slots=True)
class AuthApi:
    """Signed-in callers over HTTP."""

    service: Service

    def routes(self) -> Sequence[BaseRoute]:
        """The routes."""
        return [
            Route(f"{wire.API_ROOT}/sessions", self.own_sessions, methods=["GET"]),
            Route(f"{wire.API_ROOT}/auth/me", self.me, methods=["GET"]),
            Route(f"{wire.API_ROOT}/auth/access-context", self.access_context, methods=["GET"]),
            Route(f"{wire.API_ROOT}/auth/refresh", self.refresh, methods=["POST"]),
            Route(f"{wire.API_ROOT}/auth/logout", self.logout, methods=["POST"]),
        ]

    async def own_sessions(self, request: Request) -> JSONResponse:
        """What the caller has published, the newest first; who probes a credential asks for one."""
        user = require_user(await self.service.caller(request))
        limit = number_in_query(request, "limit", default=LISTED, most=MOST_LISTED)
        lineages = await self.service.read(own_lineages, user.id, limit)
        return JSONResponse({"sessions": [asdict(lineage) for lineage in lineages]})

    async def me(self, request: Request) -> JSONResponse:
        """Whom the credential belongs to, and as whom it publishes; in the envelope, where roar-cli looks for it."""
        caller = await self.service.caller(request)
        user = require_user(caller)
        me = {"user": {"id": user.id, "username": user.name, "email": user.email}, "creatorIdentity": caller.identity}
        return JSONResponse({"success": True, "data": me})

    async def access_context(self, request: Request) -> JSONResponse:
        """Where the caller may write and read; in the envelope, without which treqs-cli does not read it."""
        caller = await self.service.caller(request)
        require_user(caller)
        if caller.credential is not Credential.BEARER:
            raise Refusal(HTTPStatus.FORBIDDEN, "the access context is for bearer tokens: sign in with one")
        context = await self.service.context(caller)
        assert context is not None
        return JSONResponse({"success": True, "data": context.model_dump()})

    async def refresh(self, request: Request) -> JSONResponse:
        """New tokens for a refresh token, which is its own credential; what `Authorization` says is not looked at."""
        body = await self.service.body(request, _RefreshRequest)
        tokens = await self.service.gatekeeper.authority.refresh(body.refresh_token, body.client_id)
        return JSONResponse(tokens)

    async def logout(self, request: Request) -> JSONResponse:
        """End the sign-in of a bearer: its access and refresh tokens are dead.  An expired bearer ends it, too."""
        token = bearer_of(request.headers.get("authorization"))
        if token is None or not await self.service.gatekeeper.authority.revoke(token):
            raise unaccepted("there is no sign-in to end: this needs the bearer token of one")
        return JSONResponse({"success": True, "data": {"revoked": True}})
