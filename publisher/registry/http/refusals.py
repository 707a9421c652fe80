"""The exception for refused requests. The app answers it with `{"detail": …}`."""

from collections.abc import Mapping
from http import HTTPStatus


class Refusal(Exception):
    """A request that is answered with an error.

    `status` is the HTTP status. `detail` is one sentence for the user, without credentials. `extra` are more keys of
    the body. `headers` are those of the reply.
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
        self.headers = headers or {}

    def body(self) -> dict[str, object]:
        """Return the body of the reply."""
        return {"detail": self.detail, **self.extra}


def unauthorized(detail: str) -> Refusal:
    """Return a 401: the credential is not accepted, or a required one is missing."""
    return Refusal(HTTPStatus.UNAUTHORIZED, detail)
