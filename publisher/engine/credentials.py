"""This user's credentials for a publish, from the environment and the configuration."""

import os
from collections.abc import Callable, Mapping
from time import time
from typing import Any

from roar_publisher.auth.keyring import Keyring
from roar_publisher.auth.send_policy import SendPolicy
from roar_publisher.auth.sshkey import AskPassphrase
from roar_publisher.auth.trust import TrustStore
from roar_publisher.lineage.config import DEFAULT_REGISTRY, user_registry
from roar_publisher.net.address import origin, origin_of
from roar_publisher.report import Noted, Reporter
from roar_publisher.state.home import home_to_read
from roar_publisher.state.record import NAMED_BY, NAMED_BY_USER


def user_send_policy(registry: str, named_by: object) -> SendPolicy:
    """Return which of this user's credentials may be sent to a registry.

    named_by: a `NamedBy`, or the value that a journal holds in its place.
    Raises LocalProblem if the user's configuration cannot be read.
    """
    return SendPolicy(
        registry,
        named_by_user=named_by in NAMED_BY_USER or origin_of(os.environ.get("GLAAS_URL", "")) == origin(registry),
        configured=origin_of(user_registry(os.environ).url) or DEFAULT_REGISTRY,
        default=DEFAULT_REGISTRY,
        trust=TrustStore.from_environment(os.environ, home_to_read()),
    )


def user_keyring(
    registry: str,
    intent: Mapping[str, Any],
    *,
    ask: AskPassphrase | None = None,
    report: Reporter = lambda report: None,
    clock: Callable[[], float] = time,
) -> Keyring:
    """Return this user's credentials for a publish with that intent to a registry.

    ask: asks the user for a passphrase; None if no user is present.
    """
    return Keyring(
        os.environ,
        home_to_read(),
        user_send_policy(registry, intent.get(NAMED_BY, "")),
        configured_key=intent.get("ssh_key", ""),
        ask=ask,
        clock=clock,
        notify=lambda text: report(Noted(text)),
    )
