"""Every error a person may meet, in one tree.

`PublisherError` is the root.  Its families say whose turn it is: the network's (`Transient`), the server's
(`Rejected`), this machine's (`LocalProblem`), the person's (`NeedsPerson`), another process's (`Owned`), or the
command line's (`UsageProblem`).  Library exceptions are translated where the library is called; only
`roar_publisher.__main__` turns one of these into text and an exit code.
"""

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns to its caller; documented in README.md."""

    PUBLISHED = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 3
    NEEDS_PERSON = 4
    OWNED = 5
    CTRL_C = 130


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """An error as a person reads it: three short texts, each possibly empty but the first."""

    what: str
    """What happened."""
    kept: str
    """What is kept, and where."""
    next_step: str
    """The command to type next, or the choice to make."""


class PublisherError(Exception):
    """The root.  `what` is one sentence without a credential in it.

    `reason` is a short stable code (`offline`, `auth`, `disk full`, …) that the journal stores beside the state.
    `publish_id` names the publish that it is about, where whoever asked may not know.
    """

    exit_code = ExitCode.FAILED
    reason = "failed"
    publish_id = ""

    def __init__(self, what: str, *, kept: str = "", next_step: str = "", reason: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.kept = kept
        self.next_step = next_step
        if reason is not None:
            self.reason = reason

    def diagnostics(self) -> Diagnostics:
        """What happened, what is kept, what to type next."""
        return Diagnostics(self.what, self.kept, self.next_step)


class Transient(PublisherError):
    """The network or the server could not answer now; the publish stays where it is and can be resumed.

    retry_after: seconds that the server asked for, None if it did not.
    knock_at: the URL that does not answer, empty if something answers.
    """

    exit_code = ExitCode.INTERRUPTED
    reason = "offline"

    def __init__(
        self,
        what: str,
        *,
        kept: str = "",
        next_step: str = "",
        reason: str | None = None,
        retry_after: float | None = None,
        knock_at: str = "",
    ) -> None:
        super().__init__(what, kept=kept, next_step=next_step, reason=reason)
        self.retry_after = retry_after
        self.knock_at = knock_at


class Rejected(PublisherError):
    """The server's answer is final: trying again without a change gives the same answer."""

    exit_code = ExitCode.FAILED
    reason = "rejected"


class LocalProblem(PublisherError):
    """This machine stands in the way: a disk, a permission, roar.db, a file that changed.

    `resumable` tells whether a publish is left that `--resume` can go on with once the cause is mended.
    """

    reason = "local"

    def __init__(
        self, what: str, *, kept: str = "", next_step: str = "", reason: str | None = None, resumable: bool = False
    ) -> None:
        super().__init__(what, kept=kept, next_step=next_step, reason=reason)
        self.exit_code = ExitCode.INTERRUPTED if resumable else ExitCode.FAILED


class NeedsPerson(PublisherError):
    """Only a person can go on: sign in, confirm, or choose."""

    exit_code = ExitCode.NEEDS_PERSON
    reason = "needs confirmation"


class Owned(PublisherError):
    """Another process works on this publish now."""

    exit_code = ExitCode.OWNED
    reason = "owned"


class Interrupted(PublisherError):
    """A person or the system asked the process to stop (Ctrl-C, SIGTERM); everything acknowledged is checkpointed."""

    exit_code = ExitCode.CTRL_C
    reason = "interrupted"


class UsageProblem(PublisherError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = ExitCode.USAGE
    reason = "usage"
