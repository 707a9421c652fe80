"""This user's credentials for a publish, from the environment and the configuration."""

import os
from collections.abc import Callable, Mapping
from time import time
from typing import Any

from roar_publisher.auth.keyring import Keyring
from roar_publisher.auth.send_policy import SendPolicy
from roar_publisher.auth.sshkey import AskPassphrase
from roar_publisher.auth.trust import TrustStore
from roar_publisher.lineage.config import DEFAULT_REGISTRY, NamedRegistry, user_registry
from roar_publisher.net.address import origin, origin_of
from roar_publisher.report import Noted, Reporter
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.home import home_to_read
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NAMED_BY, NAMED_BY_USER, NamedBy


def user_send_policy(registry: str, named_by: object) -> SendPolicy:
    """Return which of this user's credentials may be sent to a registry.

    named_by: a `NamedBy`, or the value that a journal holds in its place.
    Raises LocalProblem if the user's configuration cannot be read, or names no address of a registry.
    """
    was_default = named_by == NamedBy.DEFAULT
    named = named_by in NAMED_BY_USER and not was_default
    configured = user_registry(os.environ)
    own = [os.environ.get("GLAAS_URL", ""), configured.url if configured.by is NamedBy.USER else ""]
    return SendPolicy(
        registry,
        was_default=was_default,
        named_by_user=named or origin(registry) in map(origin_of, own),
        configured=_configured_origin(configured),
        default=DEFAULT_REGISTRY,
        trust=TrustStore.from_environment(os.environ, home_to_read()),
    )


def _configured_origin(configured: NamedRegistry) -> str:
    """Return the origin of the user's own registry: a credential may be for it, so it is never guessed."""
    found = origin_of(configured.url)
    if found is None:
        raise LocalProblem(
            "the [glaas] url of your own configuration is not the address of a registry",
            kept="No credential was sent.",
            next_step="correct it in ~/.config/roar/config.toml (https://HOST), then repeat the command",
            reason=Reason.CONFIG,
        )
    return found


def user_keyring(
    registry: str,
    intent: Mapping[str, Any],
    *,
    ask: AskPassphrase | None = None,
    report: Reporter = lambda report: None,
    clock: Callable[[], float] = time,
) -> Keyring:
    """Return this user's credentials for a publish with that intent to a registry. Blocking.

    ask: asks the user for a passphrase; None if no user is present. report: receives what the user should know about
    them. Raises LocalProblem if the user's configuration or trusted registries cannot be read.
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
