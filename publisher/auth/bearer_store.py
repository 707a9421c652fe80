"""The bearer token: its storage, and its refresh, which never loses it (protocol.md §5).

`auth.json` belongs to roar, and roar-cli and other publishes may change it at any time. Therefore it is read again for
each use, and a refresh works as follows:

- Only one refresh runs at a time: tasks wait for a lock of the store, processes of this program for a lock beside the
  file.
- After waiting, the caller reads the file again. If the token is not the rejected one, another task or process
  has refreshed it.
- Space for the reply is reserved before the request, because the server may rotate the refresh token, which invalidates
  the old one.
- A reply for a different user is not stored (`subjects`).
- The reply is on disk before the token is used. A cancelled refresh gets a short grace period to reach that point.
- roar-cli takes no lock. If the server refuses, the file is watched for a moment: roar-cli may have refreshed first and
  not yet written the new tokens.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import anyio
from msgspec import Struct

from roar_publisher.auth.private_file import locked, replacing, translated
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import CLIENT_ID, LOG_IN, Document, SignIn, environment_sign_in
from roar_publisher.auth.subjects import names_different_user
from roar_publisher.state.errors import NeedsUser, Rejected
from roar_publisher.state.private import make_private_folder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import read_bounded
from roar_publisher.state.shell import shell_word
from roar_publisher.state.system_errors import exhausted
from roar_publisher.state.xdg import base_folder
from roar_publisher.tasks import task_group

CANCELLED_GRACE_S = 4.0
"""Grace period of a cancelled refresh. A Ctrl-C must end within 5 s."""
GROWTH_BYTES = 16 * 1024
"""The maximum growth of the file by the new tokens."""
OTHER_REFRESH_READS = 60
OTHER_REFRESH_WAIT_S = 0.05
"""Three seconds: how long roar-cli's reply may take when the server refused the same token to us."""
MOST_BYTES = 1024 * 1024
"""The maximum size of a sign-in, which usually has some kilobytes."""
HALF_WRITTEN_READS = 5
HALF_WRITTEN_WAIT_S = 0.02
"""roar-cli empties the file before it writes it, so invalid JSON is read again a few times."""

FIXED_TOKEN_REMEDY = "set ROAR_ACCESS_TOKEN to a token that the registry accepts, or unset it to use another credential"

Post = Callable[[Document], Awaitable[Mapping[str, object]]]
"""Sends `POST /auth/refresh` with this body and returns the reply. Raises `Rejected` for a final refusal."""


class RefreshRefused(Struct, frozen=True):
    """There is no longer a usable bearer. why: a sentence without its full stop."""

    why: str


class BearerStore:
    """roar's sign-in, for any number of tasks. Reads the file for each use; caches only the refused refresh token.

    path: of `auth.json`.
    fixed: the token of `ROAR_ACCESS_TOKEN`, which has precedence over the file and is never refreshed.
    """

    def __init__(self, path: Path, fixed: Secret | None = None) -> None:
        self._path = path
        self._fixed = fixed
        self._refreshing = anyio.Lock()
        self._refused: Secret | None = None
        """The refresh token that the server has refused. It is not sent again."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], home: Path) -> "BearerStore":
        """Return the store of roar-cli's own sign-in, or of the token in `ROAR_ACCESS_TOKEN`."""
        configuration = base_folder(environ, "XDG_CONFIG_HOME", ".config", home)
        token = Secret(environ.get("ROAR_ACCESS_TOKEN", "").strip())
        return cls(configuration / "roar" / "auth.json", token if token.reveal() else None)

    def __repr__(self) -> str:
        return f"BearerStore({str(self._path)!r})"

    def current(self) -> SignIn | None:
        """Return the current sign-in, or None. Raises `NeedsUser` if the file or the fixed token is unusable."""
        if self._fixed is not None:
            return environment_sign_in(self._fixed)
        document = self._read()
        return None if document is None else document.sign_in()

    async def refresh(self, post: Post, rejected: Secret, now: float) -> SignIn | RefreshRefused:
        """Return a sign-in whose access token is not `rejected`. Ask the server only if no other process has refreshed.

        rejected: the access token that was refused, or is about to expire.
        now: Unix seconds.

        The result may belong to a different user, if one has signed in since: compare before using it.

        Raises what `post` raises except `Rejected`, and `LocalProblem` if the reply cannot be stored. Calling it again
        tries again. On cancellation, a request in flight gets `CANCELLED_GRACE_S` to be answered and stored.
        """
        if self._fixed is not None:
            return RefreshRefused("the token of ROAR_ACCESS_TOKEN is not accepted, and cannot be refreshed")
        async with self._refreshing:
            known = self._next_token(rejected)
            if isinstance(known, Secret):
                async with locked(self._path):
                    known = self._next_token(rejected)
                    if isinstance(known, Secret):
                        known = await self._request(post, known, rejected, now)
            return known

    async def save(self, document: Document) -> None:
        """Replace or create the sign-in atomically. Raises `LocalProblem` and keeps the old one if that fails."""
        with translated(self._path):
            make_private_folder(self._path.parent)
        async with locked(self._path):
            content = document.serialised()
            with replacing(self._path, len(content.reveal())) as replace:
                replace(content)

    @property
    def fixed(self) -> bool:
        """Whether the bearer is the token of `ROAR_ACCESS_TOKEN`, the user's explicit choice."""
        return self._fixed is not None

    @property
    def name(self) -> str:
        """The name of this bearer in messages."""
        return "the token of ROAR_ACCESS_TOKEN" if self.fixed else "roar's sign-in"

    @property
    def remedy(self) -> str:
        """What the user can do if the fixed token is not accepted; empty without a fixed token."""
        return FIXED_TOKEN_REMEDY if self._fixed is not None else ""

    @property
    def path(self) -> Path:
        """The path of `auth.json`."""
        return self._path

    def _next_token(self, rejected: Secret) -> SignIn | RefreshRefused | Secret:
        """Return the sign-in or refusal that the file determines, or the refresh token to send to the server."""
        sign_in = self.current()
        if sign_in is None:
            return RefreshRefused("you are no longer signed in")
        if sign_in.access_token != rejected:
            return sign_in
        if sign_in.refresh_token is None:
            return RefreshRefused("the sign-in has ended, and there is no refresh token")
        if sign_in.refresh_token == self._refused:
            return RefreshRefused("the server does not renew the sign-in")
        return sign_in.refresh_token

    async def _request(self, post: Post, token: Secret, rejected: Secret, now: float) -> SignIn | RefreshRefused:
        """Ask the server for new tokens. Both locks must be held."""
        document = self._read() or Document()
        why = "the server's answer contains no new access token"

        async def request_and_store() -> None:
            nonlocal why
            with replacing(self._path, len(document.serialised().reveal()) + GROWTH_BYTES) as replace:
                client_id = document.get("client_id") or CLIENT_ID
                answer = Document(await post(Document(refresh_token=token.reveal(), client_id=client_id)))
                if names_different_user(document, answer):
                    why = "the registry answered the refresh with another user's sign-in, which was discarded"
                    return
                # No await from here on, so that cancellation cannot lose the server's reply.
                latest = self._latest(document)
                if _is_same(document, latest):
                    replace(latest.refreshed(answer, now).serialised())

        try:
            await _with_grace(request_and_store)
        except Rejected as refusal:
            why = f"the server does not renew the sign-in: {refusal.what.rstrip('.')}"
            await self._await_other_refresh(rejected)
        known = self._next_token(rejected)
        if isinstance(known, Secret):
            self._refused = token
            return RefreshRefused(why)
        return known

    async def _await_other_refresh(self, rejected: Secret) -> None:
        """Wait until another process has renewed the sign-in, or has had enough time to."""
        for _ in range(OTHER_REFRESH_READS):
            if not isinstance(self._next_token(rejected), Secret):
                return
            await anyio.sleep(OTHER_REFRESH_WAIT_S)

    def _latest(self, document: Document) -> Document:
        """Return the file's current document, or `document` if it is unreadable, so that any reply is stored."""
        try:
            return self._read() or document
        except NeedsUser:
            return document

    def _read(self) -> Document | None:
        for attempt in range(HALF_WRITTEN_READS):
            if attempt:
                time.sleep(HALF_WRITTEN_WAIT_S)
            try:
                document = Document.parse(read_bounded(self._path, MOST_BYTES, private=True))
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as failure:
                raise exhausted(failure) or NeedsUser(
                    f"roar's sign-in {self._path} cannot be read: {failure.strerror}",
                    next_step=f"make it readable (`ls -l {shell_word(str(self._path))}` shows its permissions)",
                    reason=Reason.AUTH,
                ) from None
            if document is not None:
                return document
        raise NeedsUser(
            f"roar's sign-in {self._path} does not contain a JSON object", next_step=LOG_IN, reason=Reason.AUTH
        )


def _is_same(before: Document, now: Document) -> bool:
    """Return whether the file still holds the refreshed sign-in, and not one of a later login."""
    try:
        return before.sign_in().digest == now.sign_in().digest
    except NeedsUser:  # an unusable sign-in, so nothing can be lost
        return True


async def _with_grace(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work`. On cancellation, let it continue for `CANCELLED_GRACE_S` before it is cancelled too."""
    finished = anyio.Event()
    shield = anyio.CancelScope(shield=True)

    async def run() -> None:
        with shield:
            await work()
        finished.set()

    async with task_group() as tasks:
        tasks.start_soon(run)
        try:
            await finished.wait()
        finally:
            shield.deadline = anyio.current_time() + CANCELLED_GRACE_S
