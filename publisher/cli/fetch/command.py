"""`roar fetch`: the command line. What it does is in `fetching`, which is imported when needed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from roar_publisher.cli.ids import complete_file
from roar_publisher.cli.parameters import TRANSFER_LIMITS, declare, take_limits
from roar_publisher.state.errors import UsageProblem

HELP = """\
Fetch the files that a published lineage stored (roar put), each verified by its digest.

LINEAGE is the hash of the lineage, the digest of a file that it stored (8 or more digits of either are enough), the
address of its page, or the ID of a publish of this machine. If this machine published the lineage, its registry is
known. FILES are paths, globs ('*.pt'), folders, digests, or steps (@4: what step 4 wrote). Without FILES, all files are
fetched.

A file appears under its name once all of its bytes are correct. A file that is already there with the same content is
not fetched again, and one with different content is left alone unless --force is given. After an interruption,
--resume (or the same command again) fetches only the missing ranges.

\b
Examples:
  roar fetch 3f9c12ab --to restored              all files of a lineage
  roar fetch 3f9c12ab '*.pt' @4 --to restored    some of them
  roar fetch --resume --to restored              continue what was interrupted
"""
EPILOG = """\
\b
Exit codes:
  0    every file is there
  1    some files are missing, changed, refused, or in the way
  2    usage
  3    interrupted: the network, a store or the disk; continue with --resume
  4    needs you: a sign-in, a credential of a store
  5    another process is fetching into this folder
  130  stopped by Ctrl-C or SIGTERM; continue with --resume

\b
With --json, every line of stdout is an object with "event":
  fetched           path, digest, url, bytes
  present           path, digest, url
  failed            path, digest, url, why, next
  progress          state (null), done, total, unit (bytes), per_second,
                    seconds_left
  waiting           reason, seconds
  retrying          what, attempt, seconds
  done              folder, fetched, present, failed, bytes
  error             as in roar publish --help
"""


@click.command(help=HELP, epilog=EPILOG)
@click.argument("lineage", required=False)
@click.argument("files", nargs=-1, metavar="[FILES]...")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("."),
    metavar="DIR",
    shell_complete=complete_file,
    help="The folder for the files; by default the current one.",
)
@click.option("--resume", is_flag=True, help="Continue what was interrupted in DIR; LINEAGE and FILES are known.")
@click.option("--force", is_flag=True, help="Replace files that have different content.")
@click.option(
    "--registry",
    metavar="URL",
    help="Use this registry instead of GLAAS_URL, the one of the publish, or the project's.",
)
@declare(*TRANSFER_LIMITS)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line to stdout; see below.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what could not be fetched.")
@click.option("-v", "--verbose", is_flag=True, help="Print a line for every file.")
def fetch(
    lineage: str | None,
    files: tuple[str, ...],
    folder: Path,
    resume: bool,
    force: bool,
    registry: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **limits: Any,
) -> None:
    if lineage == "" or registry == "":  # as of an unset variable
        raise UsageProblem(
            f"{'the lineage' if lineage == '' else '--registry'} is empty", next_step="give it a value, or leave it out"
        )
    if resume == (lineage is not None):
        raise UsageProblem(
            "give the hash of a lineage, or --resume alone",
            next_step="roar fetch HASH --to DIR, or roar fetch --resume --to DIR",
        )
    from roar_publisher.cli.fetch.display import choose_display
    from roar_publisher.cli.publish.prompts import Prompter
    from roar_publisher.cli.publish.signals import SignalRunner, stop_by_exception
    from roar_publisher.fetching.service import FetchOrder
    from roar_publisher.fetching.service import fetch as carry_out

    stop_by_exception()
    order = FetchOrder(folder, lineage or "", files, force, registry, take_limits(limits))
    display = choose_display(folder, as_json=as_json, quiet=quiet, verbose=verbose)
    try:
        work = partial(carry_out, order, on_outcome=display.on_outcome, report=display.report)
        counts = SignalRunner(display, Prompter(present=False, yes=True, display=display))(work)
    finally:
        display.close()
    display.ended(counts)
    counts.check()
