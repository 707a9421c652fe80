"""The pages for signing in and out in a browser."""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from http import HTTPStatus
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from roar_publisher.registry.accounts.attempts import begin_attempt, give_back
from roar_publisher.registry.accounts.browser_sessions import (
    SESSION_SECONDS,
    begin_session,
    begin_session_of_token,
    end_session,
    new_cookie,
    spend_code,
)
from roar_publisher.registry.accounts.callers import bearer_of
from roar_publisher.registry.accounts.grants import TokenHolder
from roar_publisher.registry.api.forms import TOKEN_FIELD, cookie_of, form_token, read_form, set_cookie
from roar_publisher.registry.api.pages import HEADERS, refusal_page
from roar_publisher.registry.api.service import RegistryService, client_of_request
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.pages.addresses import own_address
from roar_publisher.registry.pages.sign_in import account_page, sign_in_page
from roar_publisher.registry.store.database import Connection

_OWN_PATH = re.compile(r"/(?![/\\])[!-~]{0,2000}")
"""A path on this registry. Browsers take `//host` and `/\\host` for another one."""
ACCOUNT = "/account"
WRONG_CODE = "This code is unknown, has already been used, or has expired."

Endpoint = Callable[[Any, Request], Awaitable[Response]]


def as_page(endpoint: Endpoint) -> Endpoint:
    """Answer the refusals of an endpoint with a page."""

    @wraps(endpoint)
    async def answer(self: object, request: Request) -> Response:
        try:
            return await endpoint(self, request)
        except Refusal as refusal:
            return refusal_page(refusal)

    return answer


class SignInPages(Struct, frozen=True):
    """Endpoints that sign a browser in and out."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        return [
            Route("/sign-in", self.ask, methods=["GET"]),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route(ACCOUNT, self.account, methods=["GET"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
        ]

    @as_page
    async def ask(self, request: Request) -> Response:
        """Show the form. Afterwards, the browser goes to `?next=`."""
        return _asked(request, request.query_params.get("next", ""))

    @as_page
    async def sign_in(self, request: Request) -> Response:
        """Sign the browser in with a code or an access token. The browser gets a new cookie."""
        form = await read_form(request)
        after = form.get("next", "")
        cookie = await self._signed_in(request, form.get("code", "").strip())
        if cookie is None:
            return _asked(request, after, WRONG_CODE)
        reply = see_other(after if _OWN_PATH.fullmatch(after) else ACCOUNT)
        set_cookie(reply, request, cookie, seconds=SESSION_SECONDS)
        return reply

    @as_page
    async def account(self, request: Request) -> Response:
        """Show who is signed in."""
        caller, cookie = await self.service.visitor(request), cookie_of(request)
        if caller.user is None or cookie is None:
            return see_other("/sign-in")
        return HTMLResponse(account_page(caller.user.name, {TOKEN_FIELD: form_token(cookie)}), headers=HEADERS)

    @as_page
    async def sign_out(self, request: Request) -> Response:
        """End the browser's sign-in. The browser gets a cookie that stands for nobody."""
        await read_form(request)
        await self.service.write_accounts(end_session, _known_cookie(request))
        reply = see_other("/")
        set_cookie(reply, request, new_cookie())
        return reply

    async def _signed_in(self, request: Request, secret: str) -> str | None:
        """Sign in the user of a code or an access token. Return the cookie; None if it is neither."""
        service, now = self.service, self.service.clock()
        guesser = f"sign-in {client_of_request(request)}"
        browser = (guesser, _known_cookie(request), now)
        await service.write_accounts(begin_attempt, guesser, now)
        cookie = await service.write_accounts(_sign_in_by_code, secret, *browser)
        token = bearer_of(f"Bearer {secret}")
        if cookie is None and token is not None:
            try:
                holder = await service.caller_identifier.authority.holder_of(token)
            except Refusal:  # nobody knows whether it was wrong
                await service.write_accounts(give_back, guesser)
                raise
            cookie = None if holder is None else await service.write_accounts(_sign_in_by_token, holder, *browser)
        return cookie


def _sign_in_by_code(connection: Connection, code: str, guesser: str, before: str, now: float) -> str | None:
    """Sign in the user of a code, which is spent only together with that. Return None if it is not a valid one."""
    user = spend_code(connection, code, now)
    if user is None:
        return None
    _was_right(connection, guesser, before)
    return begin_session(connection, user, now)


def _sign_in_by_token(connection: Connection, holder: TokenHolder, guesser: str, before: str, now: float) -> str | None:
    """Sign in the user of a valid access token. Return None if it was revoked meanwhile."""
    cookie = begin_session_of_token(connection, holder, now)
    if cookie is not None:
        _was_right(connection, guesser, before)
    return cookie


def _was_right(connection: Connection, guesser: str, before: str) -> None:
    """Give the attempt back, and end the sign-in of who had the cookie `before`."""
    give_back(connection, guesser)
    end_session(connection, before)


def _known_cookie(request: Request) -> str:
    cookie = cookie_of(request)
    assert cookie is not None  # the form's token was made from it
    return cookie


def see_other(path: str) -> RedirectResponse:
    """Send the browser to a path of this registry."""
    return RedirectResponse(own_address(path), HTTPStatus.SEE_OTHER)


def _asked(request: Request, after: str, problem: str = "") -> Response:
    """Show the form, with a cookie if the browser has none."""
    known = cookie_of(request)
    cookie = known or new_cookie()
    page = sign_in_page({TOKEN_FIELD: form_token(cookie), "next": after}, problem)
    reply = HTMLResponse(page, HTTPStatus.FORBIDDEN if problem else HTTPStatus.OK, HEADERS)
    if known is None:
        set_cookie(reply, request, cookie)
    return reply
