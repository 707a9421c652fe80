"""Sign-in with a token file: checks with the registry what `auth.json` will hold."""

from pathlib import Path

from roar_publisher.auth.signin import Document
from roar_publisher.glaas.client import Refused, RegistryClient
from roar_publisher.glaas.protocol import ACCESS_CONTEXT
from roar_publisher.glaas.replies import AccessContextReply
from roar_publisher.state.errors import LocalProblem, NeedsUser
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import read_bounded

PROVIDER = "treqs"
"""The provider of a token that names none: TReqs issues every bearer token of GLaaS (protocol.md §1)."""
OTHER_FILE = "request a new token file"
MAX_BYTES = 1024 * 1024
"""Maximum size of a sign-in state, which usually has some kilobytes."""


class _Token:
    """The Authorizer of the one request that checks a token before it is stored."""

    def __init__(self, document: Document) -> None:
        self._document = document

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        return f"Bearer {self._document.sign_in().access_token.reveal()}"

    async def renew(self, rejected: str) -> bool:
        return False


def read_token_file(path: Path) -> Document:
    """Return the sign-in state in a file. Raises LocalProblem if it is invalid; its text is never shown."""
    try:
        document = Document.parse(read_bounded(path, MAX_BYTES))
    except OSError as error:
        raise LocalProblem(f"the token file {path} cannot be read: {error.strerror}") from error
    if document is None:
        raise LocalProblem(f"the token file {path} does not contain a JSON object", next_step=OTHER_FILE)
    try:
        document.sign_in()
    except NeedsUser as problem:
        raise LocalProblem(problem.what, next_step=OTHER_FILE) from None
    return document


async def verify(document: Document, client: RegistryClient) -> Document:
    """Return the document with its user's data as the registry reports it.

    Raises NeedsUser if the registry does not accept the token, Transient if it cannot be reached.
    """
    try:
        context = await client.call("GET", ACCESS_CONTEXT, expect=AccessContextReply, authorize=_Token(document))
    except Refused as refusal:
        raise NeedsUser(
            f"the registry does not accept this token: {refusal.what}",
            kept="The current sign-in is kept.",
            next_step=OTHER_FILE,
            reason=Reason.AUTH,
        ) from refusal
    user = document.get("user")
    known = dict(user) if isinstance(user, dict) else {}
    reported = {
        "sub": context.user.sub,
        "db_user_id": context.user.id,
        "email": context.user.email,
        "username": context.user.username,
    }
    return Document(
        document,
        provider=document.get("provider") or PROVIDER,
        user=known | {name: value for name, value in reported.items() if value},
    )
