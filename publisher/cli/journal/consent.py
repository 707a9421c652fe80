"""Shows the user what an imported publish would do, and asks for consent."""

import os
import sys

import click

from roar_publisher.auth.choice import Capabilities, Flag, HeldCredentials
from roar_publisher.auth.decide import decide, requests_anonymity
from roar_publisher.auth.scope import Mode, RepoScope
from roar_publisher.engine.credentials import user_send_policy
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.publishing.importing import IncomingPublish
from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.record import NamedBy, Plan, Progress
from roar_publisher.storage.destinations import describe_access
from roar_publisher.text import count, fitted, printable, size

LONGEST_VALUE = 300
"""The maximum number of characters shown of one value, to keep the terminal readable."""


def confirm_import(file: str, incoming: IncomingPublish, *, yes: bool) -> None:
    """Ensure that the user agrees to everything that the publish would do. yes: agreed on the command line.

    What it would do is shown in either case. Raises NeedsUser if the user says no or cannot be asked.
    """
    from roar_publisher.cli.publish.prompts import agrees

    for line in describe_import(file, incoming):
        click.echo(line, err=True)
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NeedsUser(
            f"{file} was made on another machine, and importing it needs your consent",
            kept="Nothing was imported.",
            next_step="read above what it would do, then repeat the command with --yes",
        )
    click.echo("Import it? Nothing is sent until you resume it. [y/N] ", err=True, nl=False)
    if not agrees():
        raise NeedsUser("not imported, because you declined", kept="Nothing was imported.")


def describe_import(file: str, incoming: IncomingPublish) -> list[str]:
    """Return lines with every file, key, tag and address, and the most important facts last, next to the question."""
    plan = incoming.plan
    lines = [f"{file} holds publish {plan.id}. Once it is imported and resumed, it would:"]
    for one in incoming.stored:
        there = " (replacing the file that is there)" if one.replaces else ""
        lines.append(f"  store {_value(one.file)} ({size(one.size)}) as {_value(one.url)}{there}")
    if plan.destination is not None:
        lines.append(f"  which is {describe_access(plan.destination, os.environ)}")
    for name, commit, *pushed in incoming.tags:
        where = f"and push it to {_value(pushed[0])}, {_value(pushed[1])}" if any(pushed) else "without pushing it"
        lines.append(f"  tag the commit {commit} as {name} in {_value(plan.project)}, {where}")
    if incoming.roar_db:
        lines.append(f"  write to {_value(plan.roar_db)} what was published")
    lines.append(f"  publish {count(plan.jobs, 'job')}, {_visibility(plan)}")
    lines.append(f"  {_identity(plan, incoming.progress)}")
    gets = "without a credential" if _is_anonymous(plan) else "which receives your credential"
    known = user_send_policy(plan.registry, NamedBy.BUNDLE).accepted
    unknown = "" if known else "; you have not accepted it yet, and are asked again before anything is sent there"
    lines.append(f"  to the registry {_value(plan.registry)}, {gets}{unknown}")
    return [printable(line) for line in lines]


def _value(text: str) -> str:
    return fitted(text, LONGEST_VALUE)


def _requested_scope(plan: Plan) -> tuple[Flag, RepoScope]:
    scope = plan.intent["scope"]
    return Flag(plan.intent["flag"]), RepoScope(**scope | {"mode": Mode(scope["mode"])})


def _is_anonymous(plan: Plan) -> bool:
    return requests_anonymity(*_requested_scope(plan))


def _visibility(plan: Plan) -> str:
    choice = decide(*_requested_scope(plan), HeldCredentials(bearer=True), Capabilities(True, True))
    whose = (choice.scope_request or {}).get("owner_id")
    project = (choice.scope_request or {}).get("project_id")
    where = f", in the project {project} of {whose}" if project else f", of {whose}" if whose else ""
    return ("visible to everyone" if choice.public else "private") + _value(where)


def _identity(plan: Plan, progress: Progress) -> str:
    if progress.identity is not None:
        return "anonymously" if progress.identity == ANONYMOUS_IDENTITY else f"as {_value(progress.identity)}"
    named = sorted(f"as {_value(identity)}" for identity in plan.provisional if identity != ANONYMOUS_IDENTITY)
    return " or ".join([*named, "anonymously"])
