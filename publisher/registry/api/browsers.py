"""Protection against web pages of other sites. They can only link to the registry's pages.

A browser sends a page's requests with the user's network access. A page from any site could otherwise write to a
registry on loopback, or read from it under a host name that it has pointed to this machine (DNS rebinding). Therefore:

- A request under a foreign host name is refused (421), except for a probe, which tells nothing: load balancers name any
  host, or none.
- A request that a browser makes on behalf of another site is refused (403) with any method, except when the user
  follows a link. Browsers mark such requests with `Sec-Fetch-Site` or `Origin`; other programs send neither.
- A body must have the media type of JSON (`bodies`). A page cannot send that without a CORS preflight, and preflights
  are not answered.
- Other sites cannot embed or read any reply.
"""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roar_publisher.registry.http.base_path import path_below
from roar_publisher.registry.http.lifecycle import PROBES
from roar_publisher.registry.http.names import Names
from roar_publisher.registry.http.refusals import Refusal

OWN_SITES = frozenset({"same-origin", "none"})
"""Values of `Sec-Fetch-Site` for requests from the registry's own pages and for addresses that the user typed."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every reply. With `no-referrer`, browsers would not name our own pages as the origin of their forms. The
last one is also for proxies before us. Some cache the reply to a credential, and serve it to the next client."""


class BrowserGuard:
    """ASGI middleware that refuses requests from other sites and under foreign host names.

    `names` are the host names that the registry is served under; None, for in-process use, accepts any name.
    """

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
            hosts = headers.getlist("host")
            host = "".join(hosts[:1]) if path_below(scope) in PROBES else self._host(hosts)
            _refuse_other_sites(scope["method"], host, headers)
        except Refusal as refusal:
            await JSONResponse(refusal.body(), refusal.status)(scope, receive, send_guarded)
            return
        scheme = None if self._names is None else self._names.scheme_of(host)
        # Addresses in replies use this scheme, so a proxy does not have to report that clients connect by https.
        if scheme is not None:
            scope["scheme"] = scheme
        await self._app(scope, receive, send_guarded)

    def _host(self, hosts: Sequence[str]) -> str:
        if len(hosts) != 1:
            raise Refusal(HTTPStatus.BAD_REQUEST, "a request must have exactly one Host header")
        if self._names is not None and not self._names.is_accepted_host(hosts[0]):
            detail = (
                "this registry is not served under this name; its operator can allow it with: roar registry serve"
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
