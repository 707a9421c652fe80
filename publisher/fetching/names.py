"""Where a stored file goes below the chosen folder, and which names are refused whatever a lineage says."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable

from roar_publisher.state.errors import PublisherError, UsageProblem
from roar_publisher.storage.addresses import WEB, Destination, parse_destination
from roar_publisher.storage.source import shown
from roar_publisher.storage.store import check_key

WORK_FOLDER = ".roar-fetch"
"""Holds the journal of a fetch and its incomplete files, below the chosen folder."""
RESERVED = frozenset({WORK_FOLDER, ".git", ".roar"})
"""Folders whose files make programs run others, or are ours. Nothing is fetched into them."""
LONGEST_SEGMENT_BYTES = 255
"""The limit of nearly every file system."""


def name_below(address: Destination, destination: str) -> str:
    """Return an object's path below the destination of its put, or its last segment if it is somewhere else."""
    path = address.path.partition("?")[0] if address.scheme == WEB else address.path
    try:
        base = parse_destination(destination)
    except PublisherError:
        base = None
    if base is not None and (base.scheme, base.bucket) == (address.scheme, address.bucket):
        prefix = f"{base.path.rstrip('/')}/" if base.path else ""
        if path.startswith(prefix):
            return path[len(prefix) :]
    return path.rpartition("/")[2]


def checked_name(name: str) -> str:
    """Return a name that is a path below a folder. Raises UsageProblem, LocalProblem for any other."""
    for segment in check_key(name).split("/"):
        if folded(segment).rstrip(". ") in RESERVED:
            raise UsageProblem(f"{shown(name)} leads into {shown(segment)}, into which nothing is fetched")
        if len(os.fsencode(segment)) > LONGEST_SEGMENT_BYTES:
            raise UsageProblem(f"{shown(name[:60])}… has a segment of more than {LONGEST_SEGMENT_BYTES} bytes")
    return name


def folded(name: str) -> str:
    """Return a name as file systems compare it that ignore case, normal forms and invisible characters."""
    visible = "".join(character for character in name if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", visible).casefold())


def shared_names(names: Iterable[str], *, ignoring_case: bool) -> frozenset[str]:
    """Return the names that several files have. ignoring_case: as the folder's file system compares them."""
    key = folded if ignoring_case else str
    names = list(names)
    counts = Counter(map(key, names))
    return frozenset(name for name in names if counts[key(name)] > 1)
