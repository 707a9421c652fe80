"""`roar publish` and `roar register`: the command lines. What carries them out is imported when needed."""

import gc
import sys
from typing import TYPE_CHECKING, Any

import click

from roar_publisher.cli.parameters import declare, take_limits
from roar_publisher.cli.publish.parameters import FURTHER, MAIN, TARGET, WATCH
from roar_publisher.cli.roar_cli import only_in_roar_cli
from roar_publisher.state.errors import UsageProblem

if TYPE_CHECKING:
    from roar_publisher.cli.publish.options import Options

HELP = """\
Publish the lineage that roar captured in this project as one visible step.

TARGET is a path, a digest, a step (@4, or @B1 for a build step), a job's uid, or the hash of a session. Without it, the
whole active session is published. After any interruption (Ctrl-C, a lost network, kill -9, a reboot), `roar publish
--resume` continues from the last checkpoint, and so does publishing the same lineage again.

\b
Examples:
  roar publish --dry-run           show what would be published; sends nothing
  roar publish --public            the active session, visible to everyone
  roar publish @4 --private -y     step 4 and what it needs, without asking
  roar publish --resume            continue what was interrupted here
  roar publish --public -y --detach
                                   leave it to the daemon
  roar publish --watch             follow the publish that is in progress
  roar publish --public -y -q      for scripts: prints the hash and the URL
  roar publish model.pt --to s3://bucket/run -m "v1"
                                   the file too, as `roar put` does
"""

EXIT_CODES = """\
\b
Exit codes:
  0    published
  1    failed permanently
  2    usage
  3    interrupted; resumable
  4    needs you: a sign-in, a confirmation, a credential of a store
  5    another process is working on it
  130  stopped by Ctrl-C or SIGTERM; resumable
"""

JSON = """\
\b
With --json, every line of stdout is an object with "event":
  planned    publish_id, resumed, registry, target, destination, jobs, inputs,
             outputs, artifacts, labels, redactions
  state      publish_id, state, because (the event that led there)
  progress   state, done, total, unit (items, bytes), per_second,
             seconds_left; at most once a second
  stored     key, bytes, sent (false: already stored); put only
  waiting    reason (offline, throttled, no answer, retrying, working),
             seconds (the longest time until the next event);
             during a publish, there is an event at least every 10 s
  retrying   what, attempt, seconds
  note       text
  published  hash, url, jobs, inputs, outputs, publish_id, visibility,
             identity, owner, project, receipt (null: none), verification
             (proven, differs, unchecked; null: not verified); for a put
             also destination, files, bytes
  detached   publish_id, resumed, watch (the command that follows it)
  error      what, kept, next, reason, exit_code, publish_id if it exists
The last line is always published, detached or error; with --dry-run, the only
line is dry-run.
"""

ROAR_CLI_ONLY = ("--as-blake3", "--bind", "--no-bind")
"""Options of roar-cli's `register` that only roar-cli supports."""


_PUT = (
    click.option("--to", "destination", metavar="DEST", help="Also store TARGET's files there, as `roar put` does."),
    click.option("-m", "--message", help="What the put is for; goes with --to."),
)


@click.command(help=HELP, epilog=EXIT_CODES + "\n" + JSON)
@declare(TARGET, *MAIN, WATCH, *FURTHER, *_PUT)
def publish(**given: Any) -> int:
    return _run(read_options(**given))


@click.command(help=HELP, epilog=EXIT_CODES + "\n" + JSON)
@declare(TARGET, *MAIN, WATCH, *FURTHER, *_PUT)
@click.option("--as-blake3", is_flag=True, hidden=True)
@click.option("--bind", multiple=True, hidden=True)
@click.option("--no-bind", is_flag=True, hidden=True)
def register(as_blake3: bool, bind: tuple[str, ...], no_bind: bool, **given: Any) -> int:
    values = zip(ROAR_CLI_ONLY, (as_blake3, bind, no_bind), strict=True)
    if unsupported := [name for name, value in values if value]:
        raise _use_roar_cli(unsupported)
    return _run(read_options(**given))


def read_options(*, destination: str | None, message: str | None, **given: Any) -> "Options":
    """Return the options of a `publish`. With --to, it is a put of the target."""
    from roar_publisher.cli.publish.options import Options
    from roar_publisher.publishing.order import PutOrder

    if (destination is None) is not (message is None):
        raise UsageProblem("--to and -m go together", next_step='roar publish model.pt --to s3://bucket/run -m "v1"')
    put, target = None, given["target"]
    if destination is not None and message is not None:
        if only_in_roar_cli(destination):
            import shlex

            words = ("roar", "put", target or "", destination, "-m", message)
            raise UsageProblem("only roar-cli stores files there", next_step=shlex.join(word for word in words if word))
        sources = (target,) if target is not None else ()
        put = PutOrder(sources=sources, destination=destination, message=message)
    return Options(limits=take_limits(given), put=put, **given)


def _run(options: "Options") -> int:
    if options.watch is not None:
        from roar_publisher.cli.publish.watch import watch

        return watch(options)
    return run_publish(options)


def run_publish(options: "Options") -> int:
    """Carry out a publish or a put. Its implementation is imported first.

    The garbage collector rests meanwhile, and leaves what the import made alone afterwards: it is kept to the end.
    """
    gc.disable()
    try:
        from roar_publisher.cli.publish.run import run
    finally:
        gc.freeze()
        gc.enable()
    return run(options)


def _use_roar_cli(options: list[str]) -> UsageProblem:
    """Return the error that names the roar-cli command for the request as typed."""
    import shlex

    typed = shlex.join(sys.argv[2:])
    return UsageProblem(
        f"{' and '.join(options)}: only roar-cli's own register can do that",
        next_step=f"{shlex.quote(sys.executable)} -m roar register {typed}",
    )
