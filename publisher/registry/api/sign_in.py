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
    end_session,
    new_cookie,
    spend_code,
)
from roar_publisher.registry.accounts.callers import bearer_of
from roar_publisher.registry.api.forms import TOKEN_FIELD, cookie_of, form_token, read_form, set_cookie
from roar_publisher.registry.api.pages import HEADERS
from roar_publisher.registry.api.service import RegistryService, client_of_request
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.pages.addresses import own_address
from roar_publisher.registry.pages.html import problem_page
from roar_publisher.registry.pages.sign_in import account_page, sign_in_page
from roar_publisher.registry.store.users import User

_OWN_PATH = re.compile(r"/(?![/\\])[!-~]{0,2000}")
"""A path on this registry. Browsers take `//host` and `/\\host` for another one."""
ACCOUNT = "/account"
WRONG_CODE = "This code is unknown, was used already, or has expired."

Endpoint = Callable[[Any, Request], Awaitable[Response]]


def as_page(endpoint: Endpoint) -> Endpoint:
    """Answer the refusals of an endpoint with a page."""

    @wraps(endpoint)
    async def answer(self: object, request: Request) -> Response:
        try:
            return await endpoint(self, request)
        except Refusal as refusal:
            page = problem_page(refusal.status.phrase, refusal.detail)
            return HTMLResponse(page, refusal.status, {**HEADERS, **refusal.headers})

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
        user = await self._user_of(request, form.get("code", "").strip())
        if user is None:
            return _asked(request, after, WRONG_CODE)
        await self._forget(request)
        cookie = await self.service.write_accounts(begin_session, user, self.service.clock())
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
        await self._forget(request)
        reply = see_other("/")
        set_cookie(reply, request, new_cookie())
        return reply

    async def _user_of(self, request: Request, secret: str) -> User | None:
        service = self.service
        guesser, now = f"sign-in {client_of_request(request)}", service.clock()
        await service.write_accounts(begin_attempt, guesser, now)
        user = await service.write_accounts(spend_code, secret, now)
        token = bearer_of(f"Bearer {secret}")
        if user is None and token is not None:
            user = await service.caller_identifier.authority.user_of(token)
        if user is not None:
            await service.write_accounts(give_back, guesser)
        return user

    async def _forget(self, request: Request) -> None:
        cookie = cookie_of(request)
        assert cookie is not None  # the form's token was made from it
        await self.service.write_accounts(end_session, cookie)


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
