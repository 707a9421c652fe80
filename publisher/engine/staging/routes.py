"""A unit on the wire: its path and body, on the staged and on the legacy route (protocol.md §4).

Bodies are frozen with local job uids. The staged route sends the remote uids of protocol.md §6, the legacy route the
local ones. Both are computed at the moment of sending, from the unit and the session alone.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from msgspec.structs import replace

from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.glaas.request_dicts import wrapped
from roar_publisher.net.documents import dump
from roar_publisher.state.units import Kind, Unit

TOO_LARGE = 413
"""The status with which a registry refuses a body for its size."""


class UnitRoute(Protocol):
    """Where units are sent: the staged or the legacy endpoints."""

    def request(self, unit: Unit) -> tuple[str, bytes]:
        """Return the path and the body of the POST request that delivers `unit`."""
        ...

    def links_request(self, units: Sequence[Unit]) -> tuple[str, bytes]:
        """Return the path and the body of the POST request that delivers several units of links."""
        ...


class StagedRoute:
    """The endpoints of a registration session.

    remote_uid: maps a local job uid to the remote one.
    lineage_hash: known after finalize; labels need it.
    labels_in_session: False if the lineage is published under another session's hash; then labels go to the endpoint
    outside of the session.
    """

    def __init__(
        self,
        session_id: str,
        remote_uid: Callable[[str], str],
        *,
        lineage_hash: str | None = None,
        labels_in_session: bool = True,
    ) -> None:
        self._base = f"{API_ROOT}/registration-sessions/{session_id}"
        self._remote_uid = remote_uid
        self._lineage_hash = lineage_hash
        self._labels_path = f"{self._base}/labels/batch" if labels_in_session else f"{API_ROOT}/labels/sync"

    def request(self, unit: Unit) -> tuple[str, bytes]:
        match unit.kind:
            case Kind.JOBS:
                jobs = [_with_uids(job, self._remote_uid) for job in json.loads(unit.body)]
                return f"{self._base}/jobs/batch", wrapped("jobs", dump(jobs))
            case Kind.ARTIFACTS:
                return f"{self._base}/artifacts/batch", wrapped("artifacts", unit.body)
            case Kind.COMPOSITE:
                return f"{self._base}/artifacts/composites", dump(json.loads(unit.body)[0])
            case Kind.INPUTS | Kind.OUTPUTS:
                assert unit.job_uid is not None
                uid = self._remote_uid(unit.job_uid)
                return f"{self._base}/jobs/{uid}/{unit.kind.value}", wrapped("artifacts", unit.body)
            case Kind.LABELS:
                assert self._lineage_hash is not None
                labels = [
                    {"session_hash": self._lineage_hash} | _with_uids(label, self._remote_uid)
                    for label in json.loads(unit.body)
                ]
                return self._labels_path, wrapped("labels", dump(labels))

    def links_request(self, units: Sequence[Unit]) -> tuple[str, bytes]:
        return f"{self._base}/links/batch", _links_of_jobs(units, self._remote_uid)


class LegacyRoute:
    """The legacy endpoints of the lineage `lineage_hash`: visible at once, with local job uids."""

    def __init__(self, lineage_hash: str) -> None:
        self._hash = lineage_hash
        self._base = f"{API_ROOT}/sessions/{lineage_hash}"

    def request(self, unit: Unit) -> tuple[str, bytes]:
        match unit.kind:
            case Kind.JOBS:
                return f"{self._base}/jobs/batch", wrapped("jobs", unit.body)
            case Kind.ARTIFACTS:
                return f"{API_ROOT}/artifacts/batch", wrapped("artifacts", self._with_hash(unit))
            case Kind.COMPOSITE:
                return f"{API_ROOT}/artifacts/composites", dump(json.loads(unit.body)[0] | {"session_hash": self._hash})
            case Kind.INPUTS | Kind.OUTPUTS:
                assert unit.job_uid is not None
                uid = quote(unit.job_uid, safe="")  # roar.db is untrusted: it must not lead to another endpoint
                return f"{self._base}/jobs/{uid}/{unit.kind.value}", wrapped("artifacts", unit.body)
            case Kind.LABELS:
                return f"{API_ROOT}/labels/sync", wrapped("labels", self._with_hash(unit))

    def links_request(self, units: Sequence[Unit]) -> tuple[str, bytes]:
        return f"{self._base}/links/batch", _links_of_jobs(units, str)  # local uids, as they are

    def _with_hash(self, unit: Unit) -> bytes:
        return dump([{"session_hash": self._hash} | item for item in json.loads(unit.body)])


def halves(unit: Unit) -> tuple[Unit, Unit]:
    """Split a unit of several items into two. The journal assigns the part number of the second one."""
    items = json.loads(unit.body)
    middle = len(items) // 2
    first, second = (
        Unit(unit.seq, unit.kind, unit.job_uid, len(some), unit.after, dump(some), unit.part)
        for some in (items[:middle], items[middle:])
    )
    return first, second


def merged(units: Sequence[Unit]) -> Unit:
    """Return a unit with the items of several units of one kind, for one request."""
    body = b"[%b]" % b",".join(unit.body[1:-1] for unit in units)
    return replace(units[0], items=sum(unit.items for unit in units), body=body)


def _links_of_jobs(units: Sequence[Unit], sent_uid: Callable[[str], str]) -> bytes:
    entries = (
        b'{"job_uid":%b,"kind":"%b","artifacts":%b}'
        % (dump(sent_uid(unit.job_uid or "")), unit.kind.value.encode("ascii"), unit.body)
        for unit in units
    )
    return wrapped("links", b"[%b]" % b",".join(entries))


def _with_uids(item: dict[str, Any], remote_uid: Callable[[str], str]) -> dict[str, Any]:
    return item | {name: remote_uid(item[name]) for name in ("job_uid", "parent_job_uid") if item.get(name)}
