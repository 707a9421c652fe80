"""`--detach`: leaves a planned publish to the daemon, which is started if none runs."""

import os
from collections.abc import Sequence

from roar_publisher.auth.choice import Choice, Decision
from roar_publisher.daemon.background import is_traced, running, start
from roar_publisher.daemon.settings import user_settings
from roar_publisher.daemon.wake import wake
from roar_publisher.planning.freezing import FrozenPlan
from roar_publisher.publishing.consent import MissingConsent
from roar_publisher.publishing.errors import Unfinished
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.report import Noted
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.home import home_to_read
from roar_publisher.state.paths import StateFolder


def leave_to_daemon(frozen: FrozenPlan, folder: StateFolder, observer: PublishObserver) -> None:
    """Queue an owned publish, release it, and ensure that a daemon runs.

    Raises Unfinished if none can be started; the publish is queued even then. Repetition is harmless.
    """
    with frozen.publish as owned:
        owned.journal.queue.detach()
    ensure_daemon(frozen.plan.id, folder)
    if is_traced(os.environ) and running(folder) is None:
        observer.report(Noted("no daemon is started inside `roar run`; start one outside it: roar daemon start"))
    observer.detached(frozen.plan, resumed=frozen.resumed)


def ensure_daemon(publish_id: str, folder: StateFolder) -> None:
    """Ensure that a daemon runs that takes what is queued, unless the user starts it elsewhere (`start_daemon`).

    None is started inside of `roar run`. Raises Unfinished if none can be started.
    """
    try:
        if not is_traced(os.environ) and user_settings(os.environ, home_to_read()).start_daemon:
            start(folder)
    except LocalProblem as problem:
        problem.kept = f"Publish {publish_id} is queued; a daemon takes it as soon as one runs."
        raise Unfinished(problem, publish_id) from problem
    wake(folder)


def choice_needing_consent(choices: Sequence[Choice]) -> Choice | None:
    """Return the possible choice that needs the user's consent, or None. The daemon cannot ask for it."""
    return next((choice for choice in choices if choice.needs_confirmation), None)


def require_consent(choices: Sequence[Choice], how: str) -> None:
    """Raise MissingConsent if every possible outcome needs consent that the user has not given. how: what gives it."""
    possible = [choice for choice in choices if choice.decision is not Decision.STOP]
    if possible and all(choice.needs_confirmation for choice in possible):
        raise MissingConsent(
            "this publish is public and anonymous, which needs your consent before the daemon takes it",
            kept="Nothing was sent or kept.",
            next_step=f"repeat the command with {how}",
        )
