"""`roar verify --all`: every publish of this machine, one after another, for cron."""

import json
import time
from contextlib import ExitStack
from functools import partial

import click
from msgspec.structs import replace

from roar_publisher.checking.checks import DueCheck, due_again, record_check
from roar_publisher.checking.service import ObjectOrder, Verified, verify
from roar_publisher.checking.targets import own_target
from roar_publisher.cli.verify.progress import reading_line
from roar_publisher.cli.verify.running import run
from roar_publisher.cli.verify.show import show
from roar_publisher.cli.verify.unchecked import unchecked
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import Interrupted, PublisherError
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.text import count, printable_line


def verify_all(folder: StateFolder, age: float, objects: ObjectOrder | None, *, as_json: bool) -> ExitCode:
    """Verify each lineage that was published, and verified, at least `age` seconds ago, and print each verdict.

    What cannot be checked does not stop the others. A registry that is away is asked once, and its lineages stay due.
    Raises Interrupted; what was verified is recorded.
    """
    codes = []
    away: dict[str, PublisherError] = {}
    for found in due_again(folder, age, time.time()):
        verified = _verify_one(folder, found, objects, away, as_json=as_json)
        if verified is not None:
            codes.append(verified)
            if found.registry not in away:
                record_check(folder, found, verified, time.time())
    proven, differing, not_checked = map(codes.count, (ExitCode.PUBLISHED, ExitCode.FAILED, ExitCode.UNCHECKED))
    code = ExitCode.FAILED if differing else ExitCode.UNCHECKED if not_checked else ExitCode.PUBLISHED
    if as_json:
        event = {"event": "done", "proven": proven, "differing": differing, "unchecked": not_checked}
        click.echo(json.dumps(event | {"exit_code": int(code)}))
    else:
        verdicts = f"{proven} proven, {differing} differing, {not_checked} not checked"
        click.echo(f"{count(len(codes), 'lineage')} verified: {verdicts}")
    return code


def _verify_one(
    folder: StateFolder,
    found: DueCheck,
    objects: ObjectOrder | None,
    away: dict[str, PublisherError],
    *,
    as_json: bool,
) -> ExitCode | None:
    """Verify a lineage and print the verdict. Return None if it is not published any more.

    away: the registries that did not answer, with the problem.
    """
    try:
        if (known := away.get(found.registry)) is not None:
            raise known
        with ExitStack() as journals:
            order = own_target(found.paths, journals)
            if order is None:
                return None
            order = replace(order, objects=objects)
            progress = reading_line(as_json=as_json)
            with unchecked():
                verdict: Verified = run(partial(verify, order, folder, watch=progress.begin), progress)
            show(verdict, order, as_json=as_json)
            return verdict.exit_code
    except Interrupted:
        raise
    except PublisherError as problem:
        if problem.reason is Reason.OFFLINE:
            away[found.registry] = problem
        lineage, registry = found.hash, found.registry
        if as_json:
            event = {"event": "unchecked", "publish_id": found.paths.id, "hash": lineage, "registry": registry}
            click.echo(json.dumps(event | {"reason": problem.reason, "why": problem.what, "next": problem.next_step}))
        else:
            click.echo(printable_line(f"Not checked: {lineage} at {registry}: {problem.what}"))
        return ExitCode.UNCHECKED
