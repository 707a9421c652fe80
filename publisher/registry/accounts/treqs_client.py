"""An HTTP client for a TReqs service, with bounds on the size, the duration and the number of concurrent requests.

It does not follow redirects, so a bearer is sent only to the service's own address. It keeps no cookies: one that the
service sets for a user would be sent with the bearers of all others.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from enum import Enum
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import anyio
from msgspec import Struct

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.documents import read_document

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 3.0
MAX_REPLY_BYTES = 1024 * 1024
"""Maximum bytes of a reply: an access context with some thousand projects."""
MAX_CONCURRENT = 16
"""Maximum concurrent requests of each kind."""
_REJECTIONS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

logger = logging.getLogger(__name__)


class RequestKind(Enum):
    """What a request is about. Each kind has its own slots, so requests of one kind never wait for those of another."""

    KNOWN = "a bearer that the service has validated before"
    UNKNOWN = "a bearer that may be invented"
    TOKENS = "refresh and logout"


class Timeouts(Struct, frozen=True):
    """Timeouts in seconds. `reply` is for the whole reply; `slot` is for one of the `MAX_CONCURRENT` slots."""

    reply: float = 10.0
    slot: float = 2.0


class TreqsClient:
    """A client for the service at `url`. `transport` replaces the network in tests."""

    def __init__(self, url: str, timeouts: Timeouts, transport: "httpx2.AsyncBaseTransport | None" = None) -> None:
        import httpx2

        self._timeouts = timeouts
        self._slots = {kind: anyio.Semaphore(MAX_CONCURRENT) for kind in RequestKind}
        self._client = httpx2.AsyncClient(
            base_url=url.rstrip("/"),
            transport=transport,
            # Plain http:// is only for this machine. A proxy from the environment would receive the bearers.
            trust_env=url.startswith("https:"),
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),  # `ask` has a deadline for the whole reply
            limits=httpx2.Limits(max_connections=MAX_CONCURRENT * len(RequestKind)),
            headers={"Accept-Encoding": "identity"},  # the size of a compressed reply is not known in advance
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def ask(
        self,
        kind: RequestKind,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> dict[str, object] | None:
        """Return the object in the service's reply, without its envelope; None if the service rejects the request.

        Raises `Refusal` (503) for any other outcome. Cancelling it closes the connection.
        """
        status, raw = await self._exchange(kind, method, path, headers, body)
        return None if status in _REJECTIONS else _success(status, raw)

    async def ask_with_reason(
        self, kind: RequestKind, method: str, path: str, *, body: object
    ) -> dict[str, object] | str:
        """Like `ask`, but return the error code of a rejection, which is empty if it has none."""
        status, raw = await self._exchange(kind, method, path, None, body)
        return _error_code(raw) if status in _REJECTIONS else _success(status, raw)

    async def _exchange(
        self, kind: RequestKind, method: str, path: str, headers: Mapping[str, str] | None, body: object
    ) -> tuple[int, bytes]:
        import httpx2

        async with self._slot(kind):
            try:
                with anyio.fail_after(self._timeouts.reply):
                    async with self._client.stream(method, path, headers=headers, json=body) as response:
                        return response.status_code, await _read(response)
            except (httpx2.HTTPError, OSError) as error:  # includes TimeoutError
                logger.warning("the identity service does not answer: %s", type(error).__name__)
                raise service_unavailable("does not answer") from None

    @asynccontextmanager
    async def _slot(self, kind: RequestKind) -> AsyncIterator[None]:
        slots = self._slots[kind]
        try:
            slots.acquire_nowait()
        except anyio.WouldBlock:
            try:
                with anyio.fail_after(self._timeouts.slot):
                    await slots.acquire()
            except TimeoutError:
                raise service_unavailable("is busy") from None
        try:
            yield
        finally:
            slots.release()


def service_unavailable(what: str) -> Refusal:
    """Return a 503 that says that the identity service cannot be used now."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"the identity service {what}: try again later")


async def _read(response: "httpx2.Response") -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise service_unavailable("sent an encoding that was not requested")
    raw = bytearray()
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            raw += chunk
            if len(raw) > MAX_REPLY_BYTES:
                raise service_unavailable("sent a reply that is too large")
    return bytes(raw)


def _success(status: int, raw: bytes) -> dict[str, object]:
    if not 200 <= status < 300:
        raise service_unavailable(f"answers with HTTP {status}")
    return _without_envelope(_object(raw)) if raw else {}


def _error_code(raw: bytes) -> str:
    try:
        error = _object(raw).get("error")
    except Refusal:
        return ""
    code = error.get("code") if isinstance(error, dict) else error
    return code if isinstance(code, str) else ""


def _object(raw: bytes) -> dict[str, object]:
    """Return the object in a reply. All of it can be stored and passed on (`read_document`)."""
    try:
        document: object = read_document(raw.decode())
    except ValueError:
        raise service_unavailable("did not send JSON that can be passed on") from None
    if not isinstance(document, dict):
        raise service_unavailable("did not send a JSON object")
    return document


def _without_envelope(document: dict[str, object]) -> dict[str, object]:
    inner = document.get("data") if document.get("success") is True else None
    return inner if isinstance(inner, dict) else document
