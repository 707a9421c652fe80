"""Shows the user what an imported publish would do, and asks for consent."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from roar_publisher.auth.choice import Capabilities, Flag, HeldCredentials
from roar_publisher.auth.decide import decide, requests_anonymity
from roar_publisher.auth.scope import Mode, RepoScope
from roar_publisher.cli.display.text import count, one_line, printable, size
from roar_publisher.engine.credentials import user_send_policy
from roar_publisher.lineage.canonical import ANONYMOUS_IDENTITY
from roar_publisher.planning.bundles.allowed_folders import ImportedObject
from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.record import NamedBy, Plan, Progress
from roar_publisher.storage.destinations import describe_access

LONGEST_VALUE = 300
"""The maximum number of characters shown of one value, to keep the terminal readable."""
YES = frozenset({"y", "yes"})


@dataclass(frozen=True, slots=True)
class Arriving:
    """What would be imported, with the paths of this machine.

    tags: as in `Plan`. roar_db: whether the project's roar.db contains its jobs, so that it will be updated. missing:
    files that were not found here.
    """

    plan: Plan
    progress: Progress
    stored: Sequence[ImportedObject]
    tags: Sequence[Sequence[str]]
    roar_db: bool
    missing: Sequence[str]


def agree(file: str, arriving: Arriving, *, yes: bool) -> None:
    """Ensure that the user agrees to everything that the publish would do. yes: agreed on the command line.

    What it would do is shown in either case. Raises NeedsUser if the user says no or cannot be asked.
    """
    for line in shown(file, arriving):
        click.echo(line, err=True)
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NeedsUser(
            f"{file} was made elsewhere: to import it needs your consent",
            kept="Nothing was imported.",
            next_step="read what it would do, above; then the same with --yes",
        )
    click.echo("Import it? Nothing is sent before you resume it. [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in YES:
        raise NeedsUser("not imported, as you chose", kept="Nothing was imported.")


def shown(file: str, arriving: Arriving) -> list[str]:
    """Return lines with every file, key, tag and address, and the most important facts last, next to the question."""
    plan = arriving.plan
    lines = [f"{file} holds publish {plan.id}. Once it is imported and resumed, it would:"]
    for one in arriving.stored:
        there = " (a file is there already: it is replaced)" if one.replaces else ""
        lines.append(f"  store {_value(one.file)} ({size(one.size)}) as {_value(one.url)}{there}")
    if plan.destination is not None:
        lines.append(f"  which is {describe_access(plan.destination, os.environ)}")
    for name, commit, *pushed in arriving.tags:
        where = f"and push it to {_value(pushed[0])}, {_value(pushed[1])}" if any(pushed) else "and push it nowhere"
        lines.append(f"  tag the commit {commit} as {name} in {_value(plan.project)}, {where}")
    if arriving.roar_db:
        lines.append(f"  write to {_value(plan.roar_db)} what was published")
    lines.append(f"  publish {count(plan.jobs, 'job')}, {_visibility(plan)}")
    lines.append(f"  as {_identity(plan, arriving.progress)}")
    gets = "without a credential" if _for_nobody(plan) else "which gets your credential"
    known = user_send_policy(plan.registry, NamedBy.BUNDLE).accepted
    unknown = "" if known else "; you have not accepted it yet, and are asked again before anything is sent there"
    lines.append(f"  to the registry {_value(plan.registry)}, {gets}{unknown}")
    return [printable(line) for line in lines]


def _value(text: str) -> str:
    return one_line(text, LONGEST_VALUE)


def _asked(plan: Plan) -> tuple[Flag, RepoScope]:
    scope = plan.intent["scope"]
    return Flag(plan.intent["flag"]), RepoScope(**scope | {"mode": Mode(scope["mode"])})


def _for_nobody(plan: Plan) -> bool:
    return requests_anonymity(*_asked(plan))


def _visibility(plan: Plan) -> str:
    choice = decide(*_asked(plan), HeldCredentials(bearer=True), Capabilities(True, True))
    whose = (choice.scope_request or {}).get("owner_id")
    project = (choice.scope_request or {}).get("project_id")
    where = f", in the project {project} of {whose}" if project else f", of {whose}" if whose else ""
    return ("for everybody to see" if choice.public else "private") + _value(where)


def _identity(plan: Plan, progress: Progress) -> str:
    if progress.identity is not None:
        return "nobody by name" if progress.identity == ANONYMOUS_IDENTITY else _value(progress.identity)
    named = sorted(_value(identity) for identity in plan.provisional if identity != ANONYMOUS_IDENTITY)
    return " or ".join([*named, "nobody by name"])
