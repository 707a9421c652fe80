"""The errors that end the work on a publish: what is kept, and which command continues it."""

from roar_publisher.state.debts import Debt
from roar_publisher.state.errors import Conclusion, Interrupted, LocalProblem, PublisherError, UsageProblem
from roar_publisher.state.reasons import Reason

WRONG_ADDRESS = frozenset({Reason.OFFLINE, Reason.NOT_GLAAS, Reason.SERVER_FAILING})
"""Reasons that can be caused by a wrong registry address."""


class Unfinished(PublisherError):
    """An error that leaves behind a publish that `--resume` can continue.

    by_daemon: the daemon resumes it without being asked. movable: no registry holds anything of it yet, so it may go
    to another one. published: its lineage is published.
    """

    def __init__(
        self,
        cause: PublisherError,
        publish_id: str,
        *,
        by_daemon: bool = False,
        movable: bool = False,
        published: bool = False,
    ) -> None:
        resume = f"roar publish --resume {publish_id}"
        if by_daemon:
            resume = f"roar publish --watch {publish_id}"
        if not published and (by_daemon or isinstance(cause, Interrupted)):
            resume += f" (or cancel it: roar journal cancel {publish_id})"
        if movable and cause.reason in WRONG_ADDRESS:
            resume += f"; if the address is wrong: roar publish --resume {publish_id} --registry URL"
        kept = cause.kept or f"Publish {publish_id} keeps everything that the registry acknowledged."
        super().__init__(
            cause.what,
            kept=f"{kept} The daemon continues it." if by_daemon else kept,
            next_step=_then_resume(cause.next_step, resume),
            reason=cause.reason,
        )
        self.conclusion = Conclusion.INTERRUPTED if cause.conclusion is Conclusion.FAILED else cause.conclusion
        self.publish_id = publish_id


class NotStarted(LocalProblem):
    """A problem of this machine that occurred before there was anything to resume."""

    def __init__(self, cause: LocalProblem) -> None:
        remedy, _, _ = cause.next_step.partition(", then: roar publish --resume")
        if "ROAR_STATE_DIR" not in remedy:
            remedy = f"{remedy or 'free some space'}, or set ROAR_STATE_DIR to another folder"
        super().__init__(
            cause.what,
            kept="Nothing was sent or kept.",
            next_step=f"{remedy}; then publish again",
            reason=cause.reason,
        )


class Failed(PublisherError):
    """A publish that has ended without being published.

    It may be retried once the cause is gone, except for jobs that belong to another lineage.
    """

    def __init__(self, publish_id: str, what: str, *, reason: Reason) -> None:
        kept = f"Publish {publish_id} has failed and cannot be resumed; its history is kept."
        command = f"fix the cause, then: roar journal retry {publish_id}"
        if reason == Reason.OVERLAP:
            command = f"roar journal show {publish_id}"
        if reason == Reason.RECEIPT:
            kept = f"The registry may have published it nevertheless. Publish {publish_id} keeps its answer."
            command = (
                f"roar journal show {publish_id} --why, or ask the registry again: roar journal retry {publish_id}"
            )
        super().__init__(
            what or "the publish has failed",
            kept=kept,
            next_step=command,
            reason=reason,
        )
        self.publish_id = publish_id


class Unconfirmed(PublisherError):
    """The lineage is published, but the registry's answers about its labels do not match what was sent."""

    def __init__(self, publish_id: str, debt: Debt) -> None:
        super().__init__(
            f"the lineage is published, but {debt.why}",
            kept=f"The lineage stays published. Publish {publish_id} keeps what was not confirmed.",
            next_step=debt.command or f"roar journal show {publish_id} --why",
            reason=debt.reason,
        )
        self.publish_id = publish_id


class Differing(PublisherError):
    """The lineage is published, but what is served of it, or what its stores hold, differs from what was sent."""

    def __init__(self, publish_id: str, why: str) -> None:
        super().__init__(
            f"the lineage is published, but it differs: {why}",
            kept=f"The lineage stays published. Publish {publish_id} keeps what was found.",
            next_step=f"roar verify {publish_id}",
            reason=Reason.DIFFERS,
        )
        self.publish_id = publish_id


class Cancelled(UsageProblem):
    """A publish that has been cancelled."""

    def __init__(self, publish_id: str) -> None:
        super().__init__(f"publish {publish_id} was cancelled", next_step="start a new one: roar publish")
        self.publish_id = publish_id


def _then_resume(first: str, resume: str) -> str:
    if "--resume" in first:
        return first
    first = first.rstrip(".")
    return f"{first}; then: {resume}" if first else resume
