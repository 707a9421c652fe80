"""`roar verify`: read a published lineage back and compare it with its hash, and with the plan that published it."""

from __future__ import annotations

import functools
import json
import os
import re
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roar_publisher.cli.ids import complete_publish
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.record import NAMED_BY, NamedBy
from roar_publisher.text import count, printable

if TYPE_CHECKING:
    from roar_publisher.auth.keyring import Keyring
    from roar_publisher.glaas.client import Authorizer, RegistryClient
    from roar_publisher.verification.check import Verification
    from roar_publisher.verification.planned import PlannedLineage

PATIENCE_SECONDS = 60.0
MOST_SHOWN = 100
"""Differences that are printed."""
LONGEST_VALUE = 200
"""Characters of a value that are printed."""
HASH = re.compile(r"[0-9a-f]{64}")


@click.command()
@click.argument("subject", metavar="HASH|ID", required=False, shell_complete=complete_publish)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="")
@click.option("--registry", metavar="URL", help="Where HASH is published, instead of the configured registry.")
@click.option(
    "--receipt",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check this receipt, and the files that are named instead of HASH|ID, without a network.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Public keys (.pub) whose signature of a receipt you believe, besides those of registries that you know.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(
    subject: str | None,
    files: tuple[Path, ...],
    registry: str | None,
    receipt: Path | None,
    keys: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Prove that the registry still serves the lineage that HASH stands for.

    Every job and link is read back, and the hash is computed from them. For a publish of this machine (ID, or one with
    this HASH at this registry), the jobs and fields that differ from its plan are named.

    Exit codes: 0 proven, 1 differs, 6 cannot be checked (with the reason).

    \b
      roar verify HASH --registry https://registry.example
      roar verify --receipt model.receipt.json model.bin
    """
    if receipt is not None:
        from roar_publisher.cli.verify_receipt import verify_receipt

        return verify_receipt(receipt, [Path(subject), *files] if subject else [], keys, as_json=as_json)
    if subject is None or files or keys:
        what = "name one published lineage, or a receipt and its files"
        raise UsageProblem(what, next_step="roar verify HASH, or roar verify --receipt FILE [FILES]")
    import anyio

    folder = StateFolder.from_environment(os.environ)
    with ExitStack() as journals:
        target = _target(subject, registry, folder, journals)
        verdict = anyio.run(functools.partial(_check, target))
    _show(verdict, target, as_json=as_json)
    return ExitCode.PUBLISHED if verdict.proven else ExitCode.FAILED


@dataclass(frozen=True, slots=True)
class _Target:
    """What to verify, where, and with which settings of the credentials."""

    hash: str
    registry: str
    intent: dict[str, Any]
    planned: PlannedLineage | None


def _target(subject: str, registry: str | None, folder: StateFolder, files: ExitStack) -> _Target:
    """Return what the user names. Raises UsageProblem for an unknown id, or one that is not published."""
    if not HASH.fullmatch(subject.lower()):
        if registry is not None:
            raise UsageProblem(
                "--registry goes with a whole hash; a publish has its registry", next_step="roar verify ID"
            )
        own = _opened(folder.find(subject), files)
        if own.progress.state is not State.DONE or own.progress.hash is None:
            raise UsageProblem(f"publish {subject} is not published", next_step=f"roar journal show {subject} --why")
        return _Target(own.progress.hash, own.plan.registry, own.plan.intent, own)
    lineage_hash = subject.lower()
    found = _publish_of(lineage_hash, folder)
    address, intent = _named(registry, found)
    planned = _opened(found[0], files) if found is not None and found[1] == address else None
    return _Target(lineage_hash, address, intent, planned)


def _publish_of(lineage_hash: str, folder: StateFolder) -> tuple[PublishPaths, str] | None:
    """Return the newest publish of this machine that has this hash, and its registry."""
    from roar_publisher.state.status import CountedStatus
    from roar_publisher.state.status_reader import count_all

    for each in count_all(folder):
        if isinstance(each, CountedStatus) and each.progress.hash == lineage_hash:
            return each.paths, each.plan.registry
    return None


def _named(registry: str | None, found: tuple[PublishPaths, str] | None) -> tuple[str, dict[str, Any]]:
    """Return the registry's address, and the settings of the credentials for it."""
    from roar_publisher.lineage.config import NamedRegistry, user_registry
    from roar_publisher.lineage.project import current_folder, find_project
    from roar_publisher.net.address import registry_address

    key = ""
    try:
        project = find_project(current_folder())
        named, key = project.registry(os.environ), project.config.glaas_key or ""
    except LocalProblem:
        named = user_registry(os.environ)
    if registry is not None:
        named = NamedRegistry(registry, NamedBy.OPTION)
    elif found is not None and named.by is not NamedBy.ENVIRONMENT:
        from roar_publisher.state.status_reader import read_status

        plan = read_status(found[0]).plan
        return plan.registry, plan.intent
    return registry_address(named.url, os.environ), {NAMED_BY: named.by.value, "ssh_key": key}


def _opened(paths: PublishPaths, files: ExitStack) -> PlannedLineage:
    """Open a publish for reading until `files` is closed."""
    from roar_publisher.state.journal import Journal
    from roar_publisher.state.status_reader import read_status
    from roar_publisher.verification.planned import PlannedLineage

    status = read_status(paths)
    journal = Journal(paths.journal, read_only=True)
    files.callback(journal.close)
    return PlannedLineage(journal, status.plan, status.progress)


async def _check(target: _Target) -> Verification:
    from roar_publisher.engine.credentials import user_keyring
    from roar_publisher.glaas.registry_client import registry_client
    from roar_publisher.verification.check import verify_lineage

    keyring = user_keyring(target.registry, target.intent)
    keyring.policy.check()
    async with registry_client(target.registry, patience=PATIENCE_SECONDS) as caller:
        sign_in = functools.partial(_credential, keyring, caller)
        return await verify_lineage(caller, target.hash, sign_in, target.planned)


async def _credential(keyring: Keyring, caller: RegistryClient) -> Authorizer | None:
    """Return the user's credential; None if there is none that signs."""
    from roar_publisher.auth.choice import Decision, Flag, Key
    from roar_publisher.auth.scope import RepoScope

    held = await keyring.available(Flag.NONE, RepoScope())
    if held.bearer:
        return await keyring.authorizer(Decision.BEARER, caller)
    if held.key in (Key.USUAL, Key.NAMED):
        return await keyring.authorizer(Decision.SSH, caller)
    return None


def _show(verdict: Verification, target: _Target, *, as_json: bool) -> None:
    from roar_publisher.verification.labels import LabelCheck

    served, planned = verdict.served, target.planned
    publish_id = planned.plan.id if planned else None
    labels = verdict.labels or LabelCheck(why_not="there is no plan of them here")
    shown = verdict.differences[:MOST_SHOWN]
    more = len(verdict.differences) - len(shown)
    if as_json:
        event = {"event": "verified", "proven": verdict.proven, "hash": verdict.hash, "computed_hash": verdict.computed}
        event |= {"registry": target.registry, "publish_id": publish_id, "finalized": served.finalized}
        event |= {"jobs": served.jobs, "inputs": served.inputs, "outputs": served.outputs}
        event |= {"labels": labels.compared, "edited_labels": labels.edited, "labels_not_compared": labels.why_not}
        event |= {"differences": [asdict(each) for each in shown], "more_differences": more}
        event |= {"uncompared": verdict.omitted, "exit_code": 0 if verdict.proven else 1}
        click.echo(json.dumps(event))
        return
    read = f"{count(served.jobs, 'job')}, {count(served.inputs, 'input')}, {count(served.outputs, 'output')}"
    if labels.compared:
        read += f", {count(labels.compared, 'label')}" + (f" of which {labels.edited} edited" if labels.edited else "")
    if verdict.proven:
        by = "its hash" if verdict.computed == verdict.hash else f"the plan of publish {publish_id}"
        click.echo(f"Proven by {by}: {target.registry} serves {verdict.hash} ({read}).")
        if planned and labels.why_not:
            click.echo(f"Labels were not compared: {labels.why_not}.")
        return
    click.echo(f"Differs: {target.registry} does not serve {verdict.hash} ({read} read).")
    for each in shown:
        click.echo(printable(f"  {each.job}: {each.field}: ours {_value(each.ours)}, theirs {_value(each.theirs)}"))
    if more or verdict.omitted:
        click.echo(f"  and {more} more differences; {verdict.omitted} differing jobs and labels were not compared")


def _value(value: object) -> str:
    text = json.dumps(value)
    return "nothing" if value is None else text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
