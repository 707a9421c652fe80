"""Asks the user once to accept a registry that a project or a bundle names, before anything is sent there."""

import os
import time
from pathlib import Path

from roar_publisher.auth.trust import TrustStore
from roar_publisher.engine.credentials import user_send_policy
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.publishing.consent import Consent
from roar_publisher.state.home import home
from roar_publisher.state.record import NAMED_BY, NamedBy, Plan


def user_trust_store() -> TrustStore:
    """Return the user's list of registries, for writing.

    Raises UsageProblem if there is neither a home folder nor XDG_CONFIG_HOME.
    """
    return TrustStore.from_environment(os.environ, home(instead=os.environ.get("XDG_CONFIG_HOME")))


def accept_registry_of_request(request: PublishRequest, consent: Consent) -> None:
    """Ensure that the user accepts the registry of a new publish. Ask if necessary and possible.

    Raises Declined if the user says no, NeedsUser if the user cannot be asked, LocalProblem if the answer cannot be
    saved.
    """
    _accept(request.registry, request.named_by, registry_source(request), consent)


def accept_registry_of_plan(plan: Plan, consent: Consent) -> None:
    """Do the same as `accept_registry_of_request` for a publish that is resumed."""
    named_by = plan.intent.get(NAMED_BY)
    named_in = "The bundle of this publish" if named_by == NamedBy.BUNDLE else "The plan of this publish"
    _accept(plan.registry, named_by, named_in, consent, plan.id)


def registry_source(request: PublishRequest) -> str:
    """Return what named the registry, as shown to the user."""
    file = request.project.config.glaas_url_file
    return _shown(file, request.project.root) if request.named_by is NamedBy.PROJECT and file else request.named_by


def _shown(file: Path, root: Path) -> str:
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


def _accept(registry: str, named_by: object, named_in: str, consent: Consent, publish_id: str = "") -> None:
    policy = user_send_policy(registry, named_by)
    if policy.accepted:
        return
    if not consent.accept_registry(policy.origin, named_in):
        policy.check(publish_id, named_in=named_in)
    user_trust_store().accept(policy.origin, time.time())
