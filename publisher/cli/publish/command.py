"""`roar publish` and `roar register`: the command lines. The implementation in `publishing` is imported when needed."""

import shlex
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import click
from click.shell_completion import CompletionItem

from roar_publisher.cli.publish.options import Options, PutOptions
from roar_publisher.cli.roar_cli import SCHEMES
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.limits import parse_rate

HELP = """\
Publish the lineage that roar captured in this project as one visible step.

TARGET is a path, a digest, a step (@4, @B1), a job's uid or a session's hash; nothing is the whole active session.
Whatever interrupts it (Ctrl-C, a lost network, kill -9, a reboot), `roar publish --resume` goes on from the last
checkpoint, and so does publishing the same lineage again.

\b
Examples:
  roar publish --dry-run           look first; sends nothing
  roar publish --public            the active session, for everybody to see
  roar publish @4 -y               step 4 and what it needs; ask nothing
  roar publish --resume            go on with what was interrupted in this project
  roar publish --public -y --detach
                                   leave it to the daemon, which survives the night
  roar publish --watch             look at what is under way, in whatever process
  roar publish --public -y -q      for scripts: prints the hash and the URL
  roar publish model.pt --to s3://bucket/run -m "v1"
                                   the file too, as `roar put` does
"""

EXIT_CODES = """\
\b
Exit codes:
  0    published
  1    failed for good
  2    usage
  3    interrupted; resumable
  4    needs a sign-in or a confirmation
  5    another process works on it
  130  stopped by Ctrl-C or SIGTERM; resumable
"""

JSON = """\
\b
With --json every line of stdout is an object with "event":
  planned    publish_id, resumed, registry, target, destination, jobs, inputs,
             outputs, artifacts, labels, redactions
  state      publish_id, state, because (the event that led there)
  progress   state, done, total, unit (items, bytes), per_second,
             seconds_left; at most once a second
  stored     key, bytes, sent (false: it was there); put only
  waiting    reason (offline, throttled, no answer, retrying, working), seconds
             until something else is done; while a publish is under way,
             something is written at least every 10 s
  retrying   what, attempt, seconds
  note       text
  published  hash, url, jobs, inputs, outputs, publish_id, visibility,
             identity, owner, project (null: none); of a put also
             destination, files, bytes
  detached   publish_id, resumed, watch (the command that follows it)
  error      what, kept, next, reason, exit_code, publish_id if there is one
The last line is always published, detached or error; with --dry-run the one line is dry-run.
"""

NOT_OURS = ("--as-blake3", "--bind", "--no-bind")
"""Options of roar-cli's `register` that only roar-cli supports."""


def complete_publish(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids of publishes that begin with `incomplete`. Empty if they cannot be read."""
    from roar_publisher.cli.ids import publish_ids

    return publish_ids(incomplete)


def complete_live(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the same as `complete_publish`, only for publishes that have work left."""
    from roar_publisher.cli.ids import live_ids

    return live_ids(incomplete)


def complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete file names."""
    return [CompletionItem(incomplete, type="file")]


def resume_option() -> Callable[[Any], Any]:
    return click.option(
        "--resume",
        metavar="[ID]",
        is_flag=False,
        flag_value="",
        default=None,
        shell_complete=complete_live,
        help="Go on with an interrupted publish; without ID the newest of this project that is what else you type.",
    )


def detach_option() -> Callable[[Any], Any]:
    return click.option("--detach", is_flag=True, help="Plan it, leave it to the daemon, and return at once.")


def no_redact_option() -> Callable[[Any], Any]:
    return click.option("--no-redact", is_flag=True, help="Publish secrets as they stand in commands and metadata.")


def follow_links_option() -> Callable[[Any], Any]:
    return click.option("--follow-links", is_flag=True, help="Also publish what leads out of the project.")


def transfer_options() -> list[Callable[[Any], Any]]:
    """Return the options that limit requests and bandwidth. They are not frozen, so each resume may change them."""
    return [
        click.option(
            "--jobs",
            type=click.IntRange(1, 64),
            metavar="N",
            help="Requests at once, to the registry and to the store.",
        ),
        click.option("--limit-rate", type=Rate(), metavar="RATE", help="Bytes a second to the store, as 500k or 10M."),
    ]


class Rate(click.ParamType[int]):
    """A rate in bytes per second: a number, optionally followed by k, M or G for powers of 1000."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_rate(str(value).strip())
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _options(command: Any) -> Any:
    """Add the options that `publish` and `register` share."""
    for decorate in reversed(
        (
            click.argument("target", required=False, shell_complete=complete_file),
            click.option("--public", is_flag=True, help="Everybody may see it; without either flag the repo's scope."),
            click.option("--private", is_flag=True, help="Only you, or your project's members, may see it."),
            click.option("--anonymous", is_flag=True, help="Public, and without a credential."),
            click.option("-y", "--yes", is_flag=True, help="Ask nothing: publish redacted data, and anonymously."),
            click.option("--dry-run", is_flag=True, help="Show what would be published; send nothing."),
            resume_option(),
            detach_option(),
            click.option(
                "--watch",
                metavar="[ID]",
                is_flag=False,
                flag_value="",
                default=None,
                shell_complete=complete_live,
                help="Look at a publish, whoever works on it; Ctrl-C stops looking. Without ID as above.",
            ),
            click.option("--registry", metavar="URL", help="Instead of GLAAS_URL or the project's [glaas] url."),
            click.option(
                "--to", "destination", metavar="DEST", help="Store TARGET's files there first; as `roar put`."
            ),
            click.option("-m", "--message", help="What a put is for; goes with --to."),
            no_redact_option(),
            follow_links_option(),
            *transfer_options(),
            click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout; see below."),
            click.option("-q", "--quiet", is_flag=True, help="Only the hash and the URL."),
            click.option("-v", "--verbose", is_flag=True, help="A line for every event."),
        )
    ):
        command = decorate(command)
    return command


@click.command(help=HELP, epilog=EXIT_CODES + "\n" + JSON)
@_options
def publish(**given: Any) -> int:
    return _run(read_options(**given))


@click.command(help=HELP, epilog=EXIT_CODES + "\n" + JSON)
@_options
@click.option("--as-blake3", is_flag=True, hidden=True)
@click.option("--bind", multiple=True, hidden=True)
@click.option("--no-bind", is_flag=True, hidden=True)
def register(as_blake3: bool, bind: tuple[str, ...], no_bind: bool, **given: Any) -> int:
    given_here = dict(zip(NOT_OURS, (as_blake3, bind, no_bind), strict=True))
    if refused := [name for name, value in given_here.items() if value]:
        raise _refusal(refused)
    return _run(read_options(**given))


def read_options(*, destination: str | None, message: str | None, **given: Any) -> Options:
    """Return the options of a `publish`. With --to, it is a put of the target."""
    if (destination is None) is not (message is None):
        raise UsageProblem("--to and -m go together", next_step='roar publish model.pt --to s3://bucket/run -m "v1"')
    put = None
    if destination is not None and message is not None:
        if urlsplit(destination).scheme in SCHEMES:
            words = ("roar", "put", given["target"] or "", destination, "-m", message)
            raise UsageProblem("roar-cli alone stores there", next_step=shlex.join(word for word in words if word))
        sources = (given["target"],) if given["target"] is not None else ()
        put = PutOptions(sources=sources, destination=destination, message=message)
    return Options.from_command_line(**given, put=put)


def _run(options: Options) -> int:
    if options.watch is not None:
        from roar_publisher.cli.publish.watching import watch

        return watch(options)
    from roar_publisher.cli.publish.publishing import run

    return run(options)


def _refusal(refused: list[str]) -> UsageProblem:
    """Return the error that names the roar-cli command for the request as typed."""
    typed = shlex.join(sys.argv[2:])
    return UsageProblem(
        f"{' and '.join(refused)}: only roar-cli's own register can do that",
        next_step=f"{shlex.quote(sys.executable)} -m roar register {typed}",
    )
