"""The bearer token: where it is kept, and how it is refreshed without ever losing it (protocol.md §5).

`auth.json` belongs to roar; roar-cli and other publishes may change it at any time.  So it is read again for each use,
and a refresh goes like this:

- One at a time: tasks wait on a lock of the store, processes of this program on a lock beside the file.
- Whoever waited looks again: if the token is not the one that was rejected, somebody else has refreshed it.
- Room for the answer is made before the question: the server may rotate the refresh token, and the old one dies.
- An answer for another user than before is not kept (`subjects`).
- The answer is on disk before anybody uses it.  A cancelled refresh gets a little time to get that far.
- roar-cli takes no lock.  When the server refuses, the file is watched for a moment: roar-cli may have been first, and
  be about to write down what it got.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

from roar_publisher.auth.private_file import locked, replacing, translated
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import CLIENT_ID, LOG_IN, Document, SignIn, environment_sign_in
from roar_publisher.auth.subjects import names_another
from roar_publisher.state.errors import NeedsPerson, Rejected
from roar_publisher.state.regular import read_bounded
from roar_publisher.state.xdg import base_folder

CANCELLED_GRACE_S = 4.0
"""What a cancelled refresh may still take; a Ctrl-C is over within 5 s (protocol of the command line)."""
ROOM_BYTES = 16 * 1024
"""What the new tokens may take more than the old ones."""
THEIR_ANSWER_LOOKS = 60
THEIR_ANSWER_WAIT_S = 0.05
"""Three seconds: how long roar-cli's answer may be under way when ours, to the same token, was a refusal."""
MOST_BYTES = 1024 * 1024
"""Of a sign-in, which is some kilobytes."""
HALF_WRITTEN_READS = 5
HALF_WRITTEN_WAIT_S = 0.02
"""roar-cli empties the file before it writes it: what is no JSON is read again, a few times."""

MEND_FIXED = "set ROAR_ACCESS_TOKEN to a token that the registry accepts, or unset it to use another credential"

Post = Callable[[Document], Awaitable[Mapping[str, object]]]
"""Sends `POST /auth/refresh` with this body and gives the answer; raises `Rejected` for the server's final no."""


@dataclass(frozen=True, slots=True)
class RefreshRefused:
    """There is no bearer any more, and `why`: a sentence without its full stop."""

    why: str


class BearerStore:
    """roar's sign-in, for any number of tasks.  Everything is read from the file each time; nothing is cached but no's.

    path: of `auth.json`.  fixed: the token of `ROAR_ACCESS_TOKEN`, which goes before the file and is never refreshed.
    """

    def __init__(self, path: Path, fixed: Secret | None = None) -> None:
        self._path = path
        self._fixed = fixed
        self._one_at_a_time = anyio.Lock()
        self._refused: Secret | None = None
        """The refresh token that the server has refused: it is not asked about that one again."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], home: Path) -> "BearerStore":
        """The store of roar-cli's own sign-in, or of the token in `ROAR_ACCESS_TOKEN`."""
        configuration = base_folder(environ, "XDG_CONFIG_HOME", ".config", home)
        token = Secret(environ.get("ROAR_ACCESS_TOKEN", "").strip())
        return cls(configuration / "roar" / "auth.json", token if token.reveal() else None)

    def __repr__(self) -> str:
        return f"BearerStore({str(self._path)!r})"

    def current(self) -> SignIn | None:
        """Who is signed in now; None: nobody.  Raises `NeedsPerson` when the file, or the fixed token, is unusable."""
        if self._fixed is not None:
            return environment_sign_in(self._fixed)
        document = self._read()
        return None if document is None else document.sign_in()

    async def refresh(self, post: Post, rejected: Secret, now: float) -> SignIn | RefreshRefused:
        """A sign-in whose access token is not `rejected`, asking the server for it only if nobody else has.

        rejected: the access token that was refused, or is about to expire.  now: Unix seconds.
        The user of the result may be another one, if somebody has signed in anew: compare before going on.
        Raises what `post` raises but `Rejected`, and `LocalProblem` when the answer cannot be kept; asked again, it
        tries again.  When cancelled, a request that is under way gets `CANCELLED_GRACE_S` to be answered and kept.
        """
        if self._fixed is not None:
            return RefreshRefused("the token of ROAR_ACCESS_TOKEN is not accepted, and cannot be refreshed")
        async with self._one_at_a_time:
            known = self._look(rejected)
            if isinstance(known, Secret):
                async with locked(self._path):
                    known = self._look(rejected)
                    if isinstance(known, Secret):
                        known = await self._ask(post, known, rejected, now)
            return known

    async def keep(self, document: Document) -> None:
        """Replace the sign-in, or begin one.  Atomic; raises `LocalProblem` and leaves the old one where it can't."""
        with translated(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with locked(self._path):
            content = document.serialised()
            with replacing(self._path, len(content.reveal())) as replace:
                replace(content)

    @property
    def fixed(self) -> bool:
        """Whether it is the token of `ROAR_ACCESS_TOKEN`: the person's explicit choice."""
        return self._fixed is not None

    @property
    def name(self) -> str:
        """Which bearer it is, for a person."""
        return "the token of ROAR_ACCESS_TOKEN" if self.fixed else "roar's sign-in"

    @property
    def mend(self) -> str:
        """What a person does about the fixed token once it is not accepted; empty where there is none."""
        return MEND_FIXED if self._fixed is not None else ""

    @property
    def path(self) -> Path:
        """Where the sign-in is kept."""
        return self._path

    def _look(self, rejected: Secret) -> SignIn | RefreshRefused | Secret:
        """What the file tells without asking the server, else the refresh token to ask it with."""
        sign_in = self.current()
        if sign_in is None:
            return RefreshRefused("nobody is signed in any more")
        if sign_in.access_token != rejected:
            return sign_in
        if sign_in.refresh_token is None:
            return RefreshRefused("the sign-in has ended, and there is no refresh token")
        if sign_in.refresh_token == self._refused:
            return RefreshRefused("the server does not renew the sign-in")
        return sign_in.refresh_token

    async def _ask(self, post: Post, token: Secret, rejected: Secret, now: float) -> SignIn | RefreshRefused:
        """Asks the server, with both locks held."""
        document = self._read() or Document()
        why = "the server's answer holds no new access token"

        async def ask_and_keep() -> None:
            nonlocal why
            with replacing(self._path, len(document.serialised().reveal()) + ROOM_BYTES) as replace:
                client_id = document.get("client_id") or CLIENT_ID
                answer = Document(await post(Document(refresh_token=token.reveal(), client_id=client_id)))
                if names_another(document, answer):
                    why = "the registry answered the refresh with a sign-in of somebody else, which is not kept"
                    return
                # No await from here on: what the server has answered is kept, cancelled or not.
                latest = self._latest(document)
                if _is_same(document, latest):
                    replace(latest.refreshed(answer, now).serialised())

        try:
            await _with_grace(ask_and_keep)
        except Rejected as refusal:
            why = f"the server does not renew the sign-in: {refusal.what.rstrip('.')}"
            await self._watch(rejected)
        known = self._look(rejected)
        if isinstance(known, Secret):
            self._refused = token
            return RefreshRefused(why)
        return known

    async def _watch(self, rejected: Secret) -> None:
        """Return when somebody else has renewed the sign-in, or had time enough to."""
        for _ in range(THEIR_ANSWER_LOOKS):
            if not isinstance(self._look(rejected), Secret):
                return
            await anyio.sleep(THEIR_ANSWER_WAIT_S)

    def _latest(self, document: Document) -> Document:
        """What the file holds now, or `document` where it is unreadable: nothing may keep an answer from being kept."""
        try:
            return self._read() or document
        except NeedsPerson:
            return document

    def _read(self) -> Document | None:
        for attempt in range(HALF_WRITTEN_READS):
            if attempt:
                time.sleep(HALF_WRITTEN_WAIT_S)
            try:
                document = Document.parse(read_bounded(self._path, MOST_BYTES, private=True))
            except FileNotFoundError:
                return None
            except OSError as failure:
                raise NeedsPerson(
                    f"roar's sign-in {self._path} cannot be read: {failure.strerror}.",
                    next_step=f"make it readable (`ls -l {self._path}` shows its permissions)",
                    reason="auth",
                ) from None
            if document is not None:
                return document
        raise NeedsPerson(f"roar's sign-in {self._path} holds no JSON object.", next_step=LOG_IN, reason="auth")


def _is_same(before: Document, now: Document) -> bool:
    """Whether the file still holds the sign-in that was refreshed; not if somebody has signed in anew meanwhile."""
    try:
        return before.sign_in().mark == now.sign_in().mark
    except NeedsPerson:  # nothing that could be used, and so nothing that could be lost
        return True


async def _with_grace(work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work`; when cancelled meanwhile, lets it go on for `CANCELLED_GRACE_S` before it is cancelled too."""
    failure: Exception | None = None
    finished = anyio.Event()
    shield = anyio.CancelScope(shield=True)

    async def run() -> None:
        nonlocal failure
        with shield:
            try:
                await work()
            except Exception as error:
                failure = error  # raised below, outside of the group
        finished.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            await finished.wait()
        finally:
            shield.deadline = anyio.current_time() + CANCELLED_GRACE_S
    if failure is not None:
        raise failure
