"""Compares what a registry says about a published lineage with what was sent (protocol.md §4, §6).

A missing field is not judged, because servers differ in age. A field that contradicts what was sent is a fault, and the
publish fails with the reason `receipt`. A difference that can be legitimate is only reported.
"""

import json
import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct
from msgspec.structs import asdict

from roar_publisher.auth.identity import is_key_identity
from roar_publisher.glaas.field_readers import is_closed, number
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.glaas.replies import Receipt
from roar_publisher.lineage.canonical import CANONICAL_VERSION
from roar_publisher.net.documents import one_line
from roar_publisher.origins import DEFAULT_PORTS
from roar_publisher.state.errors import Rejected
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan, Progress

HASH = re.compile(r"[0-9a-f]{64}")
ANY_HASH = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")
PUBLIC_SITE = "glaas.ai"
"""Every host below this domain belongs to the public registry."""
LONGEST_FIELD = 300
"""Maximum number of characters of one receipt field in the journal."""


class Comparison(Struct, frozen=True):
    """faults: contradictions to what was sent, as clauses. notes: what the user should know, as sentences."""

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def compare_receipt(receipt: Receipt, plan: Plan, progress: Progress) -> Comparison:
    """Compare a receipt of finalize with what was sent."""
    faults = [*_status_faults(receipt), *_version_faults(receipt)]
    notes: list[str] = []
    if not HASH.fullmatch(receipt.hash):
        faults.append(f"its hash is not a hash: {_shown(receipt.hash)}")
    elif progress.binding_prepared:  # the jobs are in a lineage that was published before
        if receipt.hash != progress.published_elsewhere:
            faults.append(f"it finalized {receipt.hash}, but had prepared {progress.published_elsewhere}")
    else:
        faults += _count_faults(receipt, plan)
        fault, note = _hash_difference(receipt.hash, plan, progress)
        faults += [fault] if fault else []
        notes += [note] if note else []
    return Comparison(tuple(faults), tuple(notes))


def shortened(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as the journal stores it: the value of each field, shortened."""
    return {name: _bounded(value) for name, value in asdict(receipt).items() if value is not None}


def mismatch(faults: tuple[str, ...]) -> Rejected:
    """Return the error for a receipt that contradicts what was sent."""
    return Rejected(f"the registry's receipt does not match what was sent: {'; '.join(faults)}", reason=Reason.RECEIPT)


def check_published_hash(claimed: str, plan: Plan, progress: Progress) -> str:
    """Return a note about a lineage that, by the registry's account, already has every job; empty if there is none.

    Job uids follow from the whole lineage (protocol.md §6), so the published lineage has the same jobs and links. Its
    hash differs if it was redacted by other rules. Raises Rejected if `claimed` is not a hash, and if it is another
    hash although nothing was redacted.
    """
    expected = _sent_hash(plan, progress)
    if not HASH.fullmatch(claimed):
        raise mismatch((f"it reports every job as published as {_shown(claimed)}, which is not a hash",))
    if expected is None or claimed in plan.published.values():
        return ""
    if not plan.redactions:
        raise mismatch((f"it reports every job as published as {claimed}, but this lineage has the hash {expected}",))
    return f"these jobs were published before with other redactions, as {claimed}; this lineage would be {expected}"


def _sent_hash(plan: Plan, progress: Progress) -> str | None:
    """Return the hash that follows from what is sent, or None if it is unknown.

    It depends on the registry's name for the publisher, which is unknown for a key whose owner was not requested.
    """
    identity = progress.identity or ANONYMOUS_IDENTITY
    return None if is_key_identity(identity) else plan.published.get(identity)


def page_url(url: str | None, registry: str, lineage_hash: str) -> tuple[str | None, str]:
    """Return the URL of the lineage's page, or None if it must not be shown, and a note if a given page is not shown.

    A page may be shown as a link if it has the registry's origin, or if it is https on the registry's own site: the
    host's parent domain (api.example.org, example.org), or a host below either. It must not name another lineage.
    """
    if url is None:
        return None, ""
    page, origin = _split(url), _split(registry)
    if page is None or origin is None:
        return None, "the registry names a page whose address is not a plain http(s) URL; it is not shown"
    if not _same_site(page, origin):
        return None, f"the registry names a page on another site ({page.hostname}); it is not shown as a link"
    if any(found.lower() != lineage_hash for found in ANY_HASH.findall(url)):
        return None, "the registry names the page of another lineage; it is not shown"
    return url, ""


def _status_faults(receipt: Receipt) -> list[str]:
    return [] if is_closed(receipt.status) else [f"the session is {_shown(receipt.status)}, not closed"]


def _version_faults(receipt: Receipt) -> list[str]:
    version = receipt.canonical_version
    if version is None or number(version) == CANONICAL_VERSION:
        return []
    return [f"its hash follows version {_shown(version)} of the rules, but this release knows {CANONICAL_VERSION}"]


def _count_faults(receipt: Receipt, plan: Plan) -> list[str]:
    counts = receipt.staged_counts
    if counts is None:
        return []
    if not isinstance(counts, dict):
        return [f"its counts are not counts: {_shown(counts)}"]
    sent = {"jobs": plan.jobs, "inputs": plan.inputs, "outputs": plan.outputs}
    return [
        f"it counts {_shown(counts[name])} {name}, but {wanted} were sent"
        for name, wanted in sent.items()
        if counts.get(name) is not None and number(counts[name]) != wanted
    ]


def _hash_difference(found: str, plan: Plan, progress: Progress) -> tuple[str, str]:
    """Return a fault and a note, of which at most one is not empty."""
    expected = _sent_hash(plan, progress)
    if expected in (None, found):
        return "", ""
    others = [name for name, published in plan.published.items() if published == found]
    if others:
        return (
            "",
            f"the registry's hash names {others[0]} as the publisher, not {progress.identity or ANONYMOUS_IDENTITY}",
        )
    return f"its hash is {found}, but what was sent has {expected}", ""


def _split(address: str) -> SplitResult | None:
    """Return the parts of a plain http(s) URL, or None for anything else. Browsers read a backslash as a slash."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in DEFAULT_PORTS and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return parts if usable and "@" not in parts.netloc and "\\" not in address else None


def _same_site(page: SplitResult, origin: SplitResult) -> bool:
    if (page.scheme, page.hostname, _port(page)) == (origin.scheme, origin.hostname, _port(origin)):
        return True
    host, site = page.hostname or "", origin.hostname or ""
    if page.scheme != "https" or _port(page) != DEFAULT_PORTS["https"] or site.replace(".", "").isdigit():
        return False
    if _below(site, PUBLIC_SITE):
        return _below(host, PUBLIC_SITE)
    _, _, parent = site.partition(".")
    return _below(host, site) or ("." in parent and host == parent)


def _below(host: str, site: str) -> bool:
    return host == site or host.endswith(f".{site}")


def _port(parts: SplitResult) -> int:
    return parts.port or DEFAULT_PORTS[parts.scheme]


def _shown(value: object) -> str:
    """Return a value from the registry for display in a message."""
    return one_line(str(value))[:LONGEST_FIELD] or "empty"


def _bounded(value: Any) -> Any:
    """Return a short value unchanged, and the beginning of the JSON text of a long one."""
    text = json.dumps(value, default=str)
    return value if len(text) <= LONGEST_FIELD else text[:LONGEST_FIELD]
