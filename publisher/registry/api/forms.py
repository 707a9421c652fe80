"""The cookie of a browser, and the forms of the registry's pages.

Every form repeats a token that is derived from the cookie, so another site's page cannot send one. A browser that has
not signed in gets a cookie for that, too, which stands for nobody. The cookie is HttpOnly and SameSite=Lax. On https,
it is Secure, and its name binds it to this host. With a base path, the browser sends it below that only, and its name
binds it to https.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from roar_publisher.registry.api.bodies import read_raw
from roar_publisher.registry.http.base_path import BASE_PATH
from roar_publisher.registry.http.refusals import Refusal

FORM_TYPE = "application/x-www-form-urlencoded"
FORM_LIMIT = 16 * 1024
"""Bytes of a form."""
MAX_FIELDS = 8
TOKEN_FIELD = "form_token"
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")


def cookie_of(request: Request) -> str | None:
    """Return the browser's cookie, which may stand for nobody; None if there is none."""
    cookie = request.cookies.get(_cookie_name(request), "")
    return cookie if _COOKIE.fullmatch(cookie) else None


def set_cookie(response: Response, request: Request, cookie: str, *, seconds: float | None = None) -> None:
    """Give the browser a cookie, which it keeps for `seconds`, or until it is closed."""
    response.set_cookie(
        _cookie_name(request),
        cookie,
        max_age=None if seconds is None else int(seconds),
        path=BASE_PATH.get() or "/",
        secure=_is_secure(request),
        httponly=True,
        samesite="lax",
    )


def form_token(cookie: str) -> str:
    """Return the token of the forms that a browser with this cookie gets."""
    return hmac.digest(cookie.encode(), b"form", hashlib.sha256).hex()


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form.

    Raises `Refusal`: as `read_raw`, 400 if it is invalid, 403 if it is not from a page that this browser was given.
    """
    raw = await read_raw(request, FORM_LIMIT, FORM_TYPE)
    try:
        fields = dict(parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise Refusal(HTTPStatus.BAD_REQUEST, "this is not a form of this registry") from None
    cookie = cookie_of(request)
    given = fields.get(TOKEN_FIELD, "").encode()
    if cookie is None or not hmac.compare_digest(form_token(cookie).encode(), given):
        raise Refusal(HTTPStatus.FORBIDDEN, "this form is not from this registry, or too old: open its page again")
    return fields


def _cookie_name(request: Request) -> str:
    if not _is_secure(request):
        return "roar"
    return "__Secure-roar" if BASE_PATH.get() else "__Host-roar"


def _is_secure(request: Request) -> bool:
    return bool(request.scope["scheme"] == "https")
