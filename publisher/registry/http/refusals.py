"""The exception for refused requests. The API answers it with `{"detail": …}`, and the pages with a page."""

from collections.abc import Mapping
from http import HTTPStatus

RETRY_AFTER = {"Retry-After": "5"}
"""Headers of a 503. Clients should wait this many seconds if, for example, the disk is full or TReqs is unreachable."""
_CLOSE = {"Connection": "close"}
"""Headers of a reply to a request whose body is not read to its end. Otherwise the connection would wait for the rest
(`Phase.DRAIN` of `server.protocol`)."""
_HEADERS_OF = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _CLOSE,
    HTTPStatus.REQUEST_TIMEOUT: _CLOSE,
    HTTPStatus.SERVICE_UNAVAILABLE: RETRY_AFTER,
}


class Refusal(Exception):
    """A request that is answered with an error.

    `status` is the HTTP status. `detail` is one sentence for the user, without credentials. `extra` are more keys of
    the body. `headers` are added to those that every reply with this status has.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.extra = extra or {}
        self.headers = {**_HEADERS_OF.get(status, {}), **(headers or {})}

    def body(self) -> dict[str, object]:
        """Return the body of the reply."""
        return {"detail": self.detail, **self.extra}


def unauthorized(detail: str) -> Refusal:
    """Return a 401: the credential is not accepted, or a required one is missing."""
    return Refusal(HTTPStatus.UNAUTHORIZED, detail)
