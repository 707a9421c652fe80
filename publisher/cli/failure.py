"""Error messages for the user, or with `--json` for a program."""

import json
import os
import sys
import traceback
from collections.abc import Collection

import click

from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.streams import StdoutLost, columns
from roar_publisher.cli.errors import OutputLost
from roar_publisher.events import ErrorEvent
from roar_publisher.exit_codes import ExitCode, exit_code_of
from roar_publisher.state.errors import Diagnostics, PublisherError, sentence
from roar_publisher.text import printable, wrapped

DEBUG = "ROAR_DEBUG"
"""Set to 1 to show where a defect occurred."""


def report_error(error: BaseException, *, as_json: bool, typed: Collection[str] = ()) -> int:
    """Print what happened, what is kept and what to type next. Return the exit code.

    typed: the arguments of the command. A message may begin with one, which stays as the user has typed it.
    The text goes to stderr. With `as_json`, it is the last line of stdout instead, unless stdout is what failed.
    """
    out, err = Output(sys.stdout), Output(sys.stderr)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        err.line(error.format_message())
        return ExitCode.USAGE
    if isinstance(error, StdoutLost):
        out.drop()
        error, as_json = OutputLost(error), False
    code, reason, texts = _describe(error)
    if as_json:
        publish_id = error.publish_id if isinstance(error, PublisherError) else ""
        event = ErrorEvent(
            what=texts.what,
            kept=texts.kept,
            next=texts.next_step,
            reason=reason,
            exit_code=int(code),
            publish_id=publish_id,
        )
        out.line(json.dumps(event.as_dict()))
    else:
        what = sentence(texts.what, typed)
        _write_sentences(err, what if code is ExitCode.STOPPED else f"Error: {what}")
        _write_sentences(err, texts.kept)
        if texts.next_step:
            err.line(f"Next: {printable(texts.next_step)}")
    return code


def _describe(error: BaseException) -> tuple[ExitCode, str, Diagnostics]:
    match error:
        case PublisherError():
            return exit_code_of(error.conclusion), error.reason, error.diagnostics()
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "roar"
            return ExitCode.USAGE, "usage", Diagnostics(error.format_message(), "", f"{command} --help")
        case click.ClickException():
            return ExitCode.USAGE, "usage", Diagnostics(error.format_message(), "", "")
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.STOPPED, "interrupted", Diagnostics("Stopped on request", "", "")
        case _:
            return ExitCode.FAILED, "defect", describe_defect(error)


def describe_defect(error: BaseException) -> Diagnostics:
    """Return the message for an unexpected exception. Its text is not shown, because it may contain anything."""
    if os.environ.get(DEBUG) == "1":
        traceback.print_tb(error.__traceback__, file=sys.stderr)
    return Diagnostics(
        f"this is a defect of roar-publisher ({type(error).__name__})",
        "What was checkpointed is kept.",
        f"roar journal list; to see where it happened, repeat with {DEBUG}=1",
    )


def _write_sentences(err: Output, text: str) -> None:
    """Write sentences. On a terminal, they are wrapped between words; commands are never wrapped.

    They may quote what others have written, whose line breaks must not begin a line that looks like ours.
    """
    if text:
        clean = printable(text.replace("\n", " "))
        width = columns(sys.stderr)
        err.line("\n".join(wrapped(clean, width)) if sys.stderr.isatty() else clean)
