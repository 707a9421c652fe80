"""Builds a `plans.PublishRequest` from an order, and lists what it can lead to."""

import os
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.choice import Capabilities, Choice, Decision, HeldCredentials, Probe
from roar_publisher.auth.decide import decide
from roar_publisher.auth.identity import identity_of_sign_in
from roar_publisher.auth.keyring import Keyring
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.boundary import FOLLOW, refuse_linked_database
from roar_publisher.lineage.config import NamedRegistry
from roar_publisher.lineage.project import Project, find_project
from roar_publisher.net.address import registry_address
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.publishing.order import Order, PutOrder
from roar_publisher.state.home import home_to_read
from roar_publisher.state.record import NamedBy

if TYPE_CHECKING:
    from roar_publisher.planning.put.request import PutRequest


def read_request(order: Order, environ: Mapping[str, str]) -> PublishRequest:
    """Return the request.

    Raises LocalProblem outside of a project, UsageProblem for a bad destination or registry address, or a capture that
    is a link.
    """
    project = find_project(order.cwd)
    if order.put is not None:
        from roar_publisher.storage.addresses import parse_destination

        parse_destination(order.put.destination)
    if not order.follow_links:
        refuse_linked_database(
            project.root,
            kept="Nothing was sent or kept.",
            next_step=f"if that is the database you want, the same command with {FOLLOW}",
        )
    if order.no_redact:
        omit = replace(project.config.omit, enabled=False)
        project = replace(project, config=replace(project.config, omit=omit))
    named = find_registry(project, order.registry, environ, order.named_by)
    target = order.target if order.put is None else shlex.join(order.put.sources) or None
    return PublishRequest(project, target, order.cwd, named.url, order.flag, named.by)


def find_registry(
    project: Project, named: str | None, environ: Mapping[str, str], by: NamedBy = NamedBy.OPTION
) -> NamedRegistry:
    """Return the registry `named`, or else that of the environment or the project, with its address in one form.

    by: what named it. Raises UsageProblem for a bad address.
    """
    found = NamedRegistry(named, by) if named else project.registry(environ)
    return NamedRegistry(registry_address(found.url, environ), found.by)


def put_request(order: PutOrder, request: PublishRequest, *, follow_links: bool = False) -> "PutRequest":
    """Return what a put is asked to store. Raises LocalProblem if the user's settings are invalid."""
    from roar_publisher.daemon.settings import user_settings
    from roar_publisher.planning.put.request import PutRequest

    return PutRequest(
        project=request.project,
        sources=order.sources,
        destination=order.destination,
        message=order.message,
        flag=request.flag,
        name=order.name,
        dataset=order.dataset,
        tag=order.tag is not False,
        push_asked=order.tag is True,
        push_configured=user_settings(os.environ, home_to_read()).push_tags,
        follow_links=follow_links,
        snapshots=order.snapshots,
        commit=order.commit,
    )


def possible_choices(request: PublishRequest, held: HeldCredentials) -> list[Choice]:
    """Return every result of the table in protocol.md §5, over all answers that the registry may give.

    Sends nothing.
    """
    scope = request.scope
    choices: dict[str, Choice] = {}
    for probe in Probe:
        for capable in (True, False):
            capabilities = Capabilities(anonymous_public=capable, server_hash=capable)
            choice = decide(request.flag, scope, held, capabilities, probe)
            if choice.decision is not Decision.PROBE_SSH:
                choices.setdefault(choice.row, choice)
    return list(choices.values())


async def require_publishable(request: PublishRequest, keyring: Keyring) -> None:
    """Raise NeedsUser, before anything is kept, if no answer of the registry could make this publishable."""
    choices = possible_choices(request, await keyring.available(request.flag, request.scope))
    if all(choice.decision is Decision.STOP for choice in choices):
        problem = keyring.stop_error(choices[0])
        problem.kept = "Nothing was sent or kept."
        raise problem


def known_identities(choices: list[Choice]) -> list[str]:
    """Return the identities that the choices may publish as, as far as they are known without asking the registry.

    If all choices stop, the only identity is anonymous.
    """
    stops = all(choice.decision is Decision.STOP for choice in choices)
    identities = [ANONYMOUS_IDENTITY] if stops or any(choice.needs_confirmation for choice in choices) else []
    if any(choice.decision is Decision.BEARER for choice in choices):
        sign_in = BearerStore.from_environment(os.environ, home_to_read()).current()
        identity = identity_of_sign_in(sign_in) if sign_in is not None else None
        identities += [identity] if identity is not None else []
    return identities
