"""The endpoints of the device flow that `roar login` uses, and the page on which a user confirms the code."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from msgspec import Struct
from pydantic import Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas import wire
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.accounts import device_flow
from roar_publisher.registry.accounts.browser_sessions import may_sign_in_programs
from roar_publisher.registry.accounts.callers import Credential
from roar_publisher.registry.accounts.device_flow import DEVICE_GRANT, DeviceClient, PollError, poll_refusal
from roar_publisher.registry.accounts.signin_file import iso_time
from roar_publisher.registry.api.forms import TOKEN_FIELD, cookie_of, form_token, read_form
from roar_publisher.registry.api.pages import HEADERS
from roar_publisher.registry.api.service import RegistryService, client_of_request
from roar_publisher.registry.api.sign_in import WRONG_CODE, as_page, see_other
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.pages.device import ALLOW, code_page, confirm_page, decided_page
from roar_publisher.registry.store.users import User

PAGE = "device"
"""Name of the route of the page."""
SIGN_IN_FIRST = "/sign-in?next=/device"
CODE_NEEDED = (
    "a program can only be signed in by a browser that signed in with a code, not with a token: sign out at /account,"
    " then sign in with a code of your operator (roar registry user sign-in NAME)"
)
ROAR_CLI = "roar-cli"

_Text = Annotated[wire.Text, Field(min_length=1, max_length=8192)]


class DeviceStart(wire.RequestBody):
    """`POST /auth/device/start`."""

    client_id: _Text = ROAR_CLI
    client_name: _Text = ROAR_CLI


class DevicePoll(wire.RequestBody):
    """`POST /auth/device/token` (RFC 8628)."""

    grant_type: wire.Text
    device_code: _Text
    client_id: _Text = ROAR_CLI


class DeviceApi(Struct, frozen=True):
    """Endpoints of the device flow."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        return [
            Route(f"{API_ROOT}/auth/device/start", self.start, methods=["POST"]),
            Route(f"{API_ROOT}/auth/device/token", self.token, methods=["POST"]),
            Route("/device", self.ask, methods=["GET"], name=PAGE),
            Route("/device", self.confirm, methods=["POST"]),
            Route("/device/decision", self.decide, methods=["POST"]),
        ]

    async def start(self, request: Request) -> JSONResponse:
        """Begin: return a code for the program, and one that its user confirms on the page."""
        body = await self.service.body(request, DeviceStart)
        client = DeviceClient(body.client_id, body.client_name, client_of_request(request))
        authority = self.service.caller_identifier.authority
        return JSONResponse(await authority.begin_device(client, str(request.url_for(PAGE))))

    async def token(self, request: Request) -> JSONResponse:
        """Return the tokens, once the user has confirmed."""
        body = await self.service.body(request, DevicePoll)
        if body.grant_type != DEVICE_GRANT:
            raise poll_refusal(PollError.UNSUPPORTED)
        authority = self.service.caller_identifier.authority
        issuer = str(request.base_url).rstrip("/")
        return JSONResponse(await authority.poll_device(body.device_code, body.client_id, issuer))

    @as_page
    async def ask(self, request: Request) -> Response:
        """Ask a user who has signed in for the code."""
        if (await self._user(request)) is None:
            return see_other(SIGN_IN_FIRST)
        return HTMLResponse(code_page(_hidden(request)), headers=HEADERS)

    @as_page
    async def confirm(self, request: Request) -> Response:
        """Show what asks with this code, and ask whether to allow it."""
        form = await read_form(request)
        user = await self._user(request)
        if user is None:
            return see_other(SIGN_IN_FIRST)
        now = self.service.clock()
        found = await self.service.write_accounts(device_flow.find, user, form.get("user_code", ""), now)
        if found is None:
            return HTMLResponse(code_page(_hidden(request), WRONG_CODE), HTTPStatus.FORBIDDEN, HEADERS)
        facts = {
            "Program": found.name,
            "Address": found.address,
            "Asked": iso_time(found.requested_at),
            "Code": found.user_code,
            "Signs in as": user.name,
        }
        return HTMLResponse(confirm_page(found.user_code, facts, _hidden(request)), headers=HEADERS)

    @as_page
    async def decide(self, request: Request) -> Response:
        """Allow or refuse what asks with this code."""
        form = await read_form(request)
        user = await self._user(request)
        if user is None:
            return see_other(SIGN_IN_FIRST)
        allowed = form.get("decision") == ALLOW
        code = form.get("user_code", "")
        found = await self.service.write_accounts(device_flow.decide, user, code, self.service.clock(), allowed=allowed)
        if found is None:
            return HTMLResponse(code_page(_hidden(request), WRONG_CODE), HTTPStatus.FORBIDDEN, HEADERS)
        return HTMLResponse(decided_page(found.name, allowed=allowed), headers=HEADERS)

    async def _user(self, request: Request) -> User | None:
        """Return the user that has signed in with this browser. Raises `Refusal` (403) if that was not by a code."""
        service, cookie = self.service, cookie_of(request)
        caller = await service.visitor(request)
        if cookie is None or caller.credential is not Credential.COOKIE:
            return None
        if not await service.write_accounts(may_sign_in_programs, cookie, service.clock()):
            raise Refusal(HTTPStatus.FORBIDDEN, CODE_NEEDED)
        return caller.user


def _hidden(request: Request) -> dict[str, str]:
    cookie = cookie_of(request)
    assert cookie is not None  # the browser has signed in
    return {TOKEN_FIELD: form_token(cookie)}
