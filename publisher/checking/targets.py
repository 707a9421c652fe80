"""Which lineages are verified: the one that a user names, or every publish of this machine."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from roar_publisher.checking.service import VerifyOrder
from roar_publisher.lineage.project import chosen_registry, registry_here
from roar_publisher.net.address import registry_address
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.record import NAMED_BY
from roar_publisher.state.status import CountedStatus
from roar_publisher.state.status_reader import count_all, read_status
from roar_publisher.verification.planned import PlannedLineage

HASH = re.compile(r"[0-9a-f]{64}")
SHORTENED = re.compile(r"[0-9a-f]{8,63}")
"""The beginning of a hash. One of 8 digits may be the id of a publish, too, which comes first."""


def named_target(subject: str, registry: str | None, folder: StateFolder, files: ExitStack) -> VerifyOrder:
    """Return what a hash or the beginning of a publish's id names. Its journal stays open until `files` is closed.

    Only the hash of a lineage that this machine has published may be shortened: a registry could choose what it serves
    for the others. Raises UsageProblem for an unknown id, or one that is not published.
    """
    subject = _whole_hash(subject.lower(), folder) or subject
    if not HASH.fullmatch(subject.lower()):
        if registry is not None:
            raise UsageProblem(
                "--registry goes with a whole hash; a publish has its registry", next_step="roar verify ID"
            )
        own = own_target(folder.find(subject), files)
        if own is None:
            raise UsageProblem(f"publish {subject} is not published", next_step=f"roar journal show {subject} --why")
        return own
    lineage_hash = subject.lower()
    found = _publish_of(lineage_hash, folder)
    address, intent = _named_registry(registry, found)
    own = own_target(found[0], files) if found is not None and found[1] == address else None
    return VerifyOrder(lineage_hash, address, intent, own.planned if own else None)


def own_target(paths: PublishPaths, files: ExitStack) -> VerifyOrder | None:
    """Return a publish of this machine, or None if it is not published; work that follows may be left.

    Its journal stays open as in `named_target`.
    """
    status = read_status(paths)
    if status.progress.hash is None:
        return None
    journal = Journal(paths.journal, read_only=True)
    files.callback(journal.close)
    planned = PlannedLineage(journal, status.plan, status.progress)
    return VerifyOrder(status.progress.hash, status.plan.registry, status.plan.intent, planned)


def published_here(folder: StateFolder) -> Iterator[CountedStatus]:
    """Yield the newest publish of this machine of each published lineage and registry."""
    known = set()
    for each in count_all(folder):
        if isinstance(each, CountedStatus) and each.progress.state is State.DONE and each.progress.hash is not None:
            name = (each.plan.registry, each.progress.hash)
            if name not in known:
                known.add(name)
                yield each


def _whole_hash(prefix: str, folder: StateFolder) -> str | None:
    """Return the hash that `prefix` begins, if exactly one lineage has it here; None for the beginning of an id.

    Raises UsageProblem if it begins neither an id nor the hash of one lineage.
    """
    if not SHORTENED.fullmatch(prefix) or any(paths.id.startswith(prefix) for paths in folder.all_publishes()):
        return None
    hashes = {str(each.progress.hash) for each in published_here(folder)}
    found = [each for each in hashes if each.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    what = "several lineages" if found else "no publish of this machine, and no lineage that it published,"
    raise UsageProblem(f"{what} begin{'' if found else 's'} with {prefix!r}", next_step="type the whole hash")


def _publish_of(lineage_hash: str, folder: StateFolder) -> tuple[PublishPaths, str] | None:
    """Return the newest publish of this machine that has this hash, and its registry."""
    for each in published_here(folder):
        if each.progress.hash == lineage_hash:
            return each.paths, each.plan.registry
    return None


def _named_registry(registry: str | None, found: tuple[PublishPaths, str] | None) -> tuple[str, dict[str, Any]]:
    """Return the registry's address, and the settings of the credentials for it."""
    if found is not None and chosen_registry(os.environ, registry) is None:
        plan = read_status(found[0]).plan
        return plan.registry, plan.intent
    named, key = registry_here(os.environ, registry)
    return registry_address(named.url, os.environ), {NAMED_BY: named.by.value, "ssh_key": key}
