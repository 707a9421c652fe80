"""Error messages for the user, or with `--json` for a program."""

import json
import os
import sys
import traceback

import click

from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.streams import StdoutLost, columns
from roar_publisher.cli.display.text import printable, wrapped
from roar_publisher.state.debts import Debt
from roar_publisher.state.errors import (
    Diagnostics,
    ExitCode,
    Interrupted,
    LocalProblem,
    PublisherError,
    UsageProblem,
    sentence,
)
from roar_publisher.state.reasons import Reason

WRONG_ADDRESS = frozenset({Reason.OFFLINE, Reason.NOT_GLAAS, Reason.SERVER_FAILING})
"""Reasons that can be caused by a wrong registry address."""
DEBUG = "ROAR_DEBUG"
"""Set to 1 to show where a defect occurred."""


class Unfinished(PublisherError):
    """An error that leaves behind a publish that `--resume` can continue.

    by_daemon: the daemon resumes it without being asked. movable: no registry holds anything of it yet, so it may go
    to another one.
    """

    def __init__(
        self, cause: PublisherError, publish_id: str, *, by_daemon: bool = False, movable: bool = False
    ) -> None:
        resume = f"roar publish --resume {publish_id}"
        if by_daemon:
            resume = f"roar publish --watch {publish_id}"
        if by_daemon or isinstance(cause, Interrupted):
            resume += f" (or cancel it: roar journal cancel {publish_id})"
        if movable and cause.reason in WRONG_ADDRESS:
            resume += f"; if the address is wrong: roar publish --resume {publish_id} --registry URL"
        kept = cause.kept or f"Publish {publish_id} keeps everything that the registry acknowledged."
        super().__init__(
            cause.what,
            kept=f"{kept} The daemon continues it." if by_daemon else kept,
            next_step=_then(cause.next_step, resume),
            reason=cause.reason,
        )
        self.exit_code = ExitCode.INTERRUPTED if cause.exit_code is ExitCode.FAILED else cause.exit_code
        self.publish_id = publish_id


class NotBegun(LocalProblem):
    """A problem of this machine that occurred before there was anything to resume."""

    def __init__(self, cause: LocalProblem) -> None:
        super().__init__(
            cause.what,
            kept="Nothing was sent or kept.",
            next_step="fix its permissions, free some space, or set ROAR_STATE_DIR; then publish again",
            reason=cause.reason,
        )


class Failed(PublisherError):
    """A publish that has ended without being published.

    It may be retried once the cause is gone, except for jobs that belong to another lineage.
    """

    def __init__(self, publish_id: str, what: str, *, reason: Reason) -> None:
        kept = f"Publish {publish_id} has failed and cannot be resumed; its history is kept."
        command = f"after fixing the cause: roar journal retry {publish_id}"
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


class OutputLost(PublisherError):
    """The output of a command cannot be written to stdout."""

    def __init__(self, cause: StdoutLost) -> None:
        super().__init__(
            f"stdout cannot be written: {cause.strerror or cause}",
            next_step="free space where stdout is written, and repeat the command",
        )


class Cancelled(UsageProblem):
    """A publish that has been cancelled."""

    def __init__(self, publish_id: str) -> None:
        super().__init__(f"publish {publish_id} was cancelled", next_step="start a new one: roar publish")
        self.publish_id = publish_id


def report_error(error: BaseException, *, as_json: bool) -> int:
    """Print what happened, what is kept and what to type next. Return the exit code.

    The text goes to stderr. With `as_json`, it is the last line of stdout instead, unless stdout is what failed.
    """
    out, err = Output(sys.stdout), Output(sys.stderr)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        err.line(error.format_message())
        return ExitCode.USAGE
    if isinstance(error, StdoutLost):
        out.drop()
        error, as_json = OutputLost(error), False
    code, reason, words = _read(error)
    if as_json:
        event: dict[str, object] = {"event": "error", "what": words.what, "kept": words.kept, "next": words.next_step}
        event |= {"reason": reason, "exit_code": int(code)}
        if isinstance(error, PublisherError) and error.publish_id:
            event["publish_id"] = error.publish_id
        out.line(json.dumps(event))
    else:
        what = sentence(words.what)
        _prose(err, what if code is ExitCode.CTRL_C else f"Error: {what}")
        _prose(err, words.kept)
        if words.next_step:
            err.line(f"Next: {printable(words.next_step)}")
    return code


def _read(error: BaseException) -> tuple[ExitCode, str, Diagnostics]:
    match error:
        case PublisherError():
            return error.exit_code, error.reason, error.diagnostics()
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "roar"
            return ExitCode.USAGE, "usage", Diagnostics(error.format_message(), "", f"{command} --help")
        case click.ClickException():
            return ExitCode.USAGE, "usage", Diagnostics(error.format_message(), "", "")
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.CTRL_C, "interrupted", Diagnostics("Stopped on request", "", "")
        case _:
            return ExitCode.FAILED, "defect", _defect(error)


def _defect(error: BaseException) -> Diagnostics:
    """Return the message for an unexpected exception. Its text is not shown, because it may contain anything."""
    if os.environ.get(DEBUG) == "1":
        traceback.print_tb(error.__traceback__, file=sys.stderr)
    return Diagnostics(
        f"this is a defect of roar-publisher ({type(error).__name__})",
        "What was checkpointed is kept.",
        f"roar journal list; to see where it happened, repeat with {DEBUG}=1",
    )


def _prose(err: Output, text: str) -> None:
    """Write sentences. On a terminal, they are wrapped between words; commands are never wrapped."""
    if text:
        clean = printable(text)
        width = columns(sys.stderr)
        err.line("\n".join(wrapped(clean, width)) if sys.stderr.isatty() else clean)


def _then(first: str, resume: str) -> str:
    if "--resume" in first:
        return first
    first = first.rstrip(".").removesuffix(", then resume")
    return f"{first}; then: {resume}" if first else resume
