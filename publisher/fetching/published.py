"""The lineages that this machine has published: by hash, or by the publish that published them."""

import os
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from roar_publisher.lineage.project import chosen_registry, registry_here
from roar_publisher.net.address import registry_address
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.machine import State
from roar_publisher.state.paths import ID, StateFolder
from roar_publisher.state.record import NAMED_BY, NamedBy, Plan
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_all, read_status

SHORTENED = re.compile(r"[0-9a-f]{8,63}")
"""The beginning of a hash. One of 8 digits may be the id of a publish, too, which comes first."""

NAME_REGISTRY = "name the registry with --registry URL, if it is another one"
"""What to do if the default registry was asked and does not answer, or does not know a lineage."""


class AskedRegistry(Struct, frozen=True):
    """The registry that is asked for a lineage.

    intent: the settings of the credentials for it, as in a plan. guessed: whether nobody has named it for this lineage,
    so that it is the default.
    """

    address: str
    intent: dict[str, Any]
    guessed: bool = False


def published_here(folder: StateFolder) -> Iterator[JournalStatus]:
    """Yield the newest publish of this machine of each published lineage and registry."""
    known = set()
    for each in read_all(folder):
        if isinstance(each, JournalStatus) and each.progress.state is State.DONE and each.progress.hash is not None:
            name = (each.plan.registry, each.progress.hash)
            if name not in known:
                known.add(name)
                yield each


def publish_of(lineage_hash: str, folder: StateFolder) -> JournalStatus | None:
    """Return the newest publish of this machine that has this hash."""
    return next((each for each in published_here(folder) if each.progress.hash == lineage_hash), None)


def hashes_beginning(prefix: str, folder: StateFolder) -> list[str]:
    """Return the hashes of this machine's published lineages that begin so."""
    hashes = {str(each.progress.hash) for each in published_here(folder)}
    return sorted(each for each in hashes if each.startswith(prefix))


def own_lineage(typed: str, folder: StateFolder) -> tuple[str, Plan] | None:
    """Return the hash and the plan of the publish of this machine that `typed` means, if it means one.

    typed: the id of a publish, or the hash of a lineage, or its beginning if no other lineage has it here.
    Raises UsageProblem for a publish that is not published.
    """
    if ID.fullmatch(typed):
        for paths in folder.all_publishes():
            if paths.id == typed:
                status = read_status(paths)
                if status.progress.hash is None:
                    raise not_published(typed)
                return status.progress.hash, status.plan
    hashes = hashes_beginning(typed, folder)
    found = publish_of(hashes[0], folder) if len(hashes) == 1 else None
    return (hashes[0], found.plan) if found is not None else None


def asked_registry(typed: str | None, plan: Plan | None) -> AskedRegistry:
    """Return the registry that `typed` or `GLAAS_URL` names, else that of a publish, else that of the current folder.

    plan: of the publish, if this machine has it.
    """
    if plan is not None and chosen_registry(os.environ, typed) is None:
        return AskedRegistry(plan.registry, plan.intent)
    named, key = registry_here(os.environ, typed)
    intent = {NAMED_BY: named.by.value, "ssh_key": key}
    return AskedRegistry(registry_address(named.url, os.environ), intent, guessed=named.by is NamedBy.DEFAULT)


def not_published(publish_id: str) -> UsageProblem:
    """Return the error for a publish that has no lineage at a registry yet."""
    return UsageProblem(f"publish {publish_id} is not published", next_step=f"roar journal show {publish_id} --why")
