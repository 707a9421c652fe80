"""How the registry says no: one exception, carried to the edge, answered as `{"detail": …}`."""

from collections.abc import Mapping
from http import HTTPStatus


class Refusal(Exception):
    """A request that is answered with an error.

    status: the HTTP status.  detail: one sentence for a person, without a credential.  extra: more keys of the body.
    headers: of the answer.
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
        """What the client reads."""
        return {"detail": self.detail, **self.extra}


def unaccepted(detail: str) -> Refusal:
    """401: the credential is not accepted, or there is none where one is needed."""
    return Refusal(HTTPStatus.UNAUTHORIZED, detail)
