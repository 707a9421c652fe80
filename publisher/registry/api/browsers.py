"""What web pages may do to a registry that the browser's machine can reach: nothing but lead a person to its pages.

A browser sends a page's requests along with the person's network access: a page from anywhere could write to a registry
on loopback, or, under a name that it has pointed to this machine (DNS rebinding), read from it as its own.  So

- a request under a foreign name is refused (421);
- a request that a browser makes for another site is refused (403), whatever its method, but for a person's own
  following of a link.  Browsers say so by `Sec-Fetch-Site` or `Origin`; other programs send neither;
- a body has to be JSON by its media type, which a page can't send without asking first (`bodies`), and nobody who asks
  is answered;
- no reply may be embedded or read by another site.
"""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roar_publisher.registry.http.names import Names
from roar_publisher.registry.http.refusals import Refusal

OWN_SITES = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` of what the registry's own pages ask for, and of what a person has typed."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every reply.  The last is for proxies before us, too: some keep what was answered to a credential, and show it to
the next one who asks."""


class BrowserGuard:
    """ASGI middleware.  names: what the registry is called; None: whatever a client calls it, for use in process."""

    def __init__(self, app: ASGIApp, names: Names | None) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            host = self._host(headers.getlist("host"))
            _refuse_other_sites(scope["method"], host, headers)
        except Refusal as refusal:
            await JSONResponse(refusal.body(), refusal.status)(scope, receive, send_guarded)
            return
        scheme = None if self._names is None else self._names.scheme_of(host)
        # Addresses in replies are made of it; a proxy need not say that clients reach it by https.
        await self._app(scope if scheme is None else {**scope, "scheme": scheme}, receive, send_guarded)

    def _host(self, hosts: Sequence[str]) -> str:
        if len(hosts) != 1:
            raise Refusal(HTTPStatus.BAD_REQUEST, "a request names its host once, in a Host header")
        if self._names is not None and not self._names.is_served(hosts[0]):
            detail = (
                "this registry is not served under this name; whoever runs it can allow it by: roar registry serve"
                " --public-url URL"
            )
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, detail)
        return hosts[0]


def _refuse_other_sites(method: str, host: str, headers: Headers) -> None:
    site = headers.get("sec-fetch-site")
    followed_link = (
        method in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    foreign_site = site is not None and site not in OWN_SITES and not followed_link
    own_origins = {f"{scheme}://{host}".lower() for scheme in ("http", "https")}
    foreign_origin = any(origin.lower() not in own_origins for origin in headers.getlist("origin"))
    if foreign_site or foreign_origin:
        raise Refusal(HTTPStatus.FORBIDDEN, "web pages of other sites may not use this registry")
