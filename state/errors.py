"""Every error that a user may see, in one tree.

`PublisherError` is the root. Its subclasses say who must act: the network (`Transient`), the server (`Rejected`), this
machine (`LocalProblem`), the user (`NeedsUser`, `Interrupted`), another process (`Owned`), or the caller of the
command line (`UsageProblem`). Exceptions of libraries are translated where the library is called. On a terminal,
`cli.failure` turns one of these errors into text and `cli.exit_codes` into an exit code.
"""

from collections.abc import Collection
from enum import Enum, auto
from typing import Any, NamedTuple

from roar_publisher.state.reasons import Reason


class Conclusion(Enum):
    """How a command ends. `exit_codes` gives each one its exit code."""

    PUBLISHED = auto()
    FAILED = auto()
    USAGE = auto()
    INTERRUPTED = auto()  # by the network, a server or this machine; resumable
    NEEDS_USER = auto()
    OWNED = auto()  # another process works on it
    UNCHECKED = auto()  # what was to be verified could not be read
    STOPPED = auto()  # by the user or the system, with a signal; resumable


class Diagnostics(NamedTuple):
    """An error as the user reads it: three short texts. All but the first may be empty."""

    what: str
    """What happened."""
    kept: str
    """What is kept, and where."""
    next_step: str
    """The command to type next, or the choice to make."""


def sentence(text: str, names: Collection[str] = ()) -> str:
    """Return the text as a sentence, with a capital and a full stop.

    The first letter becomes a capital only if the first word is plain letters and none of `names`. File names, URLs and
    options stay as they are.
    """
    first = text.partition(" ")[0]
    if first.isalpha() and first not in names:
        text = text[:1].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")


class PublisherError(Exception):
    """The root of all errors.

    what: what happened, without a capital and a full stop, so that other texts can contain it; never a credential.
    kept: what is kept, as sentences. next_step: a command or an instruction, without a full stop.
    reason: the code that the journal stores with the state.
    publish_id: the publish concerned, for callers that may not know it.
    """

    conclusion = Conclusion.FAILED
    reason = Reason.FAILED
    publish_id = ""

    def __init__(self, what: str, *, kept: str = "", next_step: str = "", reason: Reason | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.kept = kept
        self.next_step = next_step
        if reason is not None:
            self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error pass between processes, with all that it says, whatever its constructor takes."""
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def detail(self) -> str:
        """What happened and what to do next, as the journal stores it."""
        return f"{self.what} (next: {self.next_step})" if self.next_step else self.what

    def diagnostics(self) -> Diagnostics:
        """Return what happened, what is kept, and what to type next."""
        return Diagnostics(self.what, self.kept, self.next_step)


def _restored(kind: type[PublisherError], args: tuple[Any, ...], fields: dict[str, Any]) -> PublisherError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class Transient(PublisherError):
    """The network or the server cannot answer now. The publish keeps its state and can be resumed.

    retry_after: seconds that the server asked to wait, or None.
    probe_url: the URL that does not answer; empty if something answers.
    """

    conclusion = Conclusion.INTERRUPTED
    reason = Reason.OFFLINE

    def __init__(
        self,
        what: str,
        *,
        kept: str = "",
        next_step: str = "",
        reason: Reason | None = None,
        retry_after: float | None = None,
        probe_url: str = "",
    ) -> None:
        super().__init__(what, kept=kept, next_step=next_step, reason=reason)
        self.retry_after = retry_after
        self.probe_url = probe_url


class Rejected(PublisherError):
    """The server's answer is final: the same request gets the same answer."""

    conclusion = Conclusion.FAILED
    reason = Reason.REJECTED


class LocalProblem(PublisherError):
    """This machine prevents the operation: a disk, a permission, roar.db, a file that changed.

    resumable: whether `--resume` can continue the publish after the cause is fixed.
    """

    reason = Reason.LOCAL

    def __init__(
        self, what: str, *, kept: str = "", next_step: str = "", reason: Reason | None = None, resumable: bool = False
    ) -> None:
        super().__init__(what, kept=kept, next_step=next_step, reason=reason)
        self.conclusion = Conclusion.INTERRUPTED if resumable else Conclusion.FAILED


class NeedsUser(PublisherError):
    """Only the user can continue: by a sign-in, a confirmation or a choice."""

    conclusion = Conclusion.NEEDS_USER
    reason = Reason.NEEDS_CONFIRMATION


class Owned(PublisherError):
    """Another process is working on this publish."""

    conclusion = Conclusion.OWNED
    reason = Reason.OWNED


class Interrupted(PublisherError):
    """The user or the system stopped the process (Ctrl-C, SIGTERM). Everything acknowledged is checkpointed."""

    conclusion = Conclusion.STOPPED
    reason = Reason.INTERRUPTED

    def __init__(self, what: str = "stopped on request", *, kept: str = "", next_step: str = "") -> None:
        super().__init__(what, kept=kept, next_step=next_step)


class UsageProblem(PublisherError):
    """The command line names something that does not exist, or its parts contradict each other."""

    conclusion = Conclusion.USAGE
    reason = Reason.USAGE
