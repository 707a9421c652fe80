"""Which lineages are verified: the one that a user names, or every publish of this machine."""

import re
from contextlib import ExitStack

from roar_publisher.checking.service import VerifyOrder
from roar_publisher.fetching.published import SHORTENED, asked_registry, hashes_beginning, not_published, publish_of
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.status_reader import read_status
from roar_publisher.verification.planned import PlannedLineage

HASH = re.compile(r"[0-9a-f]{64}")


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
            raise not_published(subject)
        return own
    lineage_hash = subject.lower()
    found = publish_of(lineage_hash, folder)
    asked = asked_registry(registry, found.plan if found else None)
    own = own_target(found.paths, files) if found and found.plan.registry == asked.address else None
    return VerifyOrder(lineage_hash, asked.address, asked.intent, own.planned if own else None, guessed=asked.guessed)


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


def _whole_hash(prefix: str, folder: StateFolder) -> str | None:
    """Return the hash that `prefix` begins, if exactly one lineage has it here; None for the beginning of an id.

    Raises UsageProblem if it begins neither an id nor the hash of one lineage.
    """
    if not SHORTENED.fullmatch(prefix) or any(paths.id.startswith(prefix) for paths in folder.all_publishes()):
        return None
    found = hashes_beginning(prefix, folder)
    if len(found) == 1:
        return found[0]
    what = "several lineages" if found else "no publish of this machine, and no lineage that it published,"
    raise UsageProblem(f"{what} begin{'' if found else 's'} with {prefix!r}", next_step="type the whole hash")
