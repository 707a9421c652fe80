"""`roar publish` and `roar register`: the command lines.  What they do is in `publishing`, imported when needed."""

import sys
from typing import Any

import click

from publisher.cli.options import Options
from state.errors import UsageProblem

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
  roar publish --public -y -q      for scripts: prints the hash and the URL
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
  planned    publish_id, resumed, registry, target, jobs, inputs, outputs,
             artifacts, labels, redactions
  state      publish_id, state, because (the event that led there)
  progress   state, done, total, per_second, seconds_left; at most once a second
  waiting    reason (offline, throttled), seconds
  retrying   what, attempt, seconds
  note       text
  published  hash, url, jobs, inputs, outputs, publish_id
  error      what, kept, next, reason, exit_code, publish_id if there is one
The last line is always published or error; with --dry-run the one line is dry-run.
"""

NOT_OURS = ("--as-blake3", "--bind", "--no-bind")
"""Options of roar-cli's `register` that only roar-cli carries out."""


def complete_publish(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The ids of publishes that begin like this; nothing where they can't be read."""
    from publisher.cli.ids import publish_ids

    return publish_ids(incomplete)


def _options(command: Any) -> Any:
    """What `publish` and `register` take."""
    for decorate in reversed(
        (
            click.argument("target", required=False),
            click.option("--public", is_flag=True, help="Everybody may see it; without either flag the repo's scope."),
            click.option("--private", is_flag=True, help="Only you, or your project's members, may see it."),
            click.option("--anonymous", is_flag=True, help="Public, and without a credential."),
            click.option("-y", "--yes", is_flag=True, help="Ask nothing: publish redacted data, and anonymously."),
            click.option("--dry-run", is_flag=True, help="Show what would be published; send nothing."),
            click.option(
                "--resume",
                metavar="[ID]",
                is_flag=False,
                flag_value="",
                default=None,
                shell_complete=complete_publish,
                help="Go on with an interrupted publish; without ID the newest of this project.",
            ),
            click.option("--registry", metavar="URL", help="Instead of GLAAS_URL or the project's [glaas] url."),
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
    return _run(Options.from_command_line(**given))


@click.command(help=HELP, epilog=EXIT_CODES + "\n" + JSON)
@_options
@click.option("--as-blake3", is_flag=True, hidden=True)
@click.option("--bind", multiple=True, hidden=True)
@click.option("--no-bind", is_flag=True, hidden=True)
def register(as_blake3: bool, bind: tuple[str, ...], no_bind: bool, **given: Any) -> int:
    given_here = dict(zip(NOT_OURS, (as_blake3, bind, no_bind), strict=True))
    if refused := [name for name, value in given_here.items() if value]:
        raise _refusal(refused)
    return _run(Options.from_command_line(**given))


def _run(options: Options) -> int:
    from publisher.cli.publishing import run

    return run(options)


def _refusal(refused: list[str]) -> UsageProblem:
    """Names the command that does what was asked for, as it was typed."""
    import shlex

    typed = shlex.join(sys.argv[2:])
    return UsageProblem(
        f"{' and '.join(refused)}: only roar-cli's own register can do that",
        next_step=f"{shlex.quote(sys.executable)} -m roar register {typed}",
    )
