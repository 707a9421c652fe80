"""`roar verify`: the command line. What it does is in `checking`, imported when needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from roar_publisher.cli.ids import complete_publish
from roar_publisher.cli.parameters import TRANSFER_LIMITS, Parsed, declare, take_limits
from roar_publisher.state.ages import parse_age
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.paths import StateFolder

if TYPE_CHECKING:
    from roar_publisher.checking.service import ObjectOrder

HELP = """\
Prove that the registry serves the lineage with this HASH, and that the files of its puts are in their stores.

Every job and link is read back, and the hash is computed from them. If the lineage was published from this machine (ID,
or the HASH of a publish to this registry), the jobs, fields and labels that differ from its plan are listed.

An object is proven by its store's checksum if that proves the bytes (--quick), and otherwise by reading it: its blake3
must be the one in the lineage.

\b
Examples:
  roar verify 3f9c…                        a lineage and its objects
  roar verify 1a2b3c4d --full              read every byte
  roar verify 3f9c… --sample 5%            read one object in twenty
  roar verify 3f9c… --full --resume        continue what was interrupted
  roar verify 3f9c… --repair --from DIR    put again what differs
  roar verify --all --older-than 30d       every publish, from cron
  roar verify --receipt FILE model.bin     check a receipt, offline
"""
EPILOG = """\
\b
Exit codes:
  0    proven
  1    something differs
  2    usage
  6    cannot be checked: the message says why
  130  stopped by Ctrl-C or SIGTERM; continue with --resume
"""
FOR_RECEIPTS = {"subject", "files", "receipt", "keys", "as_json"}
"""The parameters that --receipt goes with."""


def _parse_percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise ValueError(f"{text!r} is not a percentage; write it as 5%")
    return value


@click.command(help=HELP, epilog=EPILOG)
@click.argument("subject", metavar="HASH|ID", required=False, shell_complete=complete_publish)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="")
@click.option("--registry", metavar="URL", help="Where HASH is published, instead of the configured registry.")
@click.option("--quick", is_flag=True, help="Read only objects that their store's checksum does not prove (default).")
@click.option("--full", is_flag=True, help="Read every byte of every object.")
@click.option(
    "--sample",
    "percent",
    type=Parsed(_parse_percent),
    metavar="5%",
    help="Read only this share of the objects, chosen at random.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Choose the same sample as the run that printed this number.")
@click.option("--all", "every", is_flag=True, help="Verify every publish of this machine, one after another.")
@click.option(
    "--older-than",
    "age",
    type=Parsed(parse_age),
    metavar="30d",
    help="With --all, skip what was published, or verified by --all or the daemon, more recently than this.",
)
@click.option("--no-objects", is_flag=True, help="Verify only the lineage, not the objects.")
@click.option("--resume", is_flag=True, help="Skip what an interrupted run has already read.")
@click.option("--repair", is_flag=True, help="Store missing or differing objects again, from files on this machine.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="With --repair, also look for the files below this folder.",
)
@click.option(
    "--allow",
    "places",
    multiple=True,
    metavar="PLACE",
    help="With --repair, also repair what another machine put below this destination or folder. Repeatable.",
)
@declare(*TRANSFER_LIMITS)
@click.option(
    "--receipt",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check this receipt, and the files given in place of HASH|ID, without a network.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file of public keys (.pub) whose signatures you trust, in addition to the pinned keys of registries."
    " Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def verify(
    context: click.Context,
    /,
    subject: str | None,
    files: tuple[Path, ...],
    registry: str | None,
    receipt: Path | None,
    keys: tuple[Path, ...],
    every: bool,
    age: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    if receipt is not None:
        _reject_with_receipt(context)
        from roar_publisher.cli.verify_receipt import verify_receipt

        return verify_receipt(receipt, [Path(subject), *files] if subject else [], keys, as_json=as_json)
    from roar_publisher.cli.publish.signals import stop_by_exception

    if every:
        if subject is not None or registry is not None:
            raise UsageProblem("--all takes neither HASH nor --registry", next_step="roar verify --all")
        from roar_publisher.cli.verify.every import verify_all

        stop_by_exception()
        folder = StateFolder.from_environment(os.environ)
        return verify_all(folder, age or 0.0, _objects(**options), as_json=as_json)
    if age is not None:
        raise UsageProblem("--older-than requires --all", next_step="roar verify --all --older-than 30d")
    if subject is None or files or keys:
        what = "name one published lineage, or a receipt and its files"
        raise UsageProblem(what, next_step="roar verify HASH, or roar verify --receipt FILE [FILES]")
    from roar_publisher.cli.verify.one import verify_one

    objects = _objects(**options)
    stop_by_exception()
    return verify_one(subject, registry, StateFolder.from_environment(os.environ), objects, as_json=as_json)


def _reject_with_receipt(context: click.Context) -> None:
    """Raise UsageProblem for an option that says nothing about a receipt, which is checked without a network."""
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in FOR_RECEIPTS and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageProblem(f"{parameter.opts[0]} does not go with --receipt", next_step="leave one of them out")


def _objects(
    *,
    quick: bool,
    full: bool,
    percent: float | None,
    seed: int | None,
    no_objects: bool,
    resume: bool,
    repair: bool,
    source: Path | None,
    places: tuple[str, ...],
    **limits: Any,
) -> ObjectOrder | None:
    """Return how objects are inspected; None for not at all. Raises UsageProblem for options that contradict."""
    from roar_publisher.checking.permitted import named_place
    from roar_publisher.checking.service import ObjectOrder

    ways = {"--quick": quick, "--full": full, "--sample": percent is not None, "--no-objects": no_objects}
    chosen = [name for name, given in ways.items() if given]
    if len(chosen) > 1:
        raise UsageProblem(f"{chosen[0]} does not go with {chosen[1]}", next_step="leave one of them out")
    if seed is not None and percent is None:
        raise UsageProblem("--seed requires --sample", next_step="roar verify HASH --sample 5% --seed N")
    if repair and no_objects:
        raise UsageProblem("--repair does not go with --no-objects", next_step="leave one of them out")
    if source is not None and not repair:
        raise UsageProblem("--from requires --repair", next_step="roar verify HASH --repair --from DIR")
    if places and not repair:
        raise UsageProblem("--allow requires --repair", next_step="roar verify HASH --repair --allow PLACE")
    if no_objects:
        return None
    return ObjectOrder(
        full=full,
        percent=percent,
        seed=seed,
        resume=resume,
        repair=repair,
        source=source,
        allowed=tuple(map(named_place, places)),
        database=_roar_database() if repair else None,
        limits=take_limits(limits),
    )


def _roar_database() -> Path | None:
    """Return the roar.db of the project of this folder, if there is one."""
    from roar_publisher.lineage.project import current_folder, find_project

    try:
        return find_project(current_folder()).database
    except LocalProblem:
        return None
