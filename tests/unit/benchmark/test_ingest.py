"""Recorded requests, and the two apps that they are sent to: both store the same rows."""

import gzip
import json
from pathlib import Path

import anyio
import pytest
from benchmark.bare_registry import BareRegistry
from benchmark.ingest import registry_app, stage
from benchmark.measure import Failed
from benchmark.pauses import finalize
from benchmark.recording import SESSIONS, Recording, Sent

from roar_publisher.registry.store.files import connect_lineages
from roar_publisher.registry.store.private_data import LINEAGES_NAME

RECORDED = f"{SESSIONS}/recorded"
JOBS = [{"job_uid": f"{number:08x}", "command": f"run {number}", "step_number": number} for number in range(3)]
ARTIFACTS = [{"hashes": [{"algorithm": "blake3", "digest": f"{number:064x}"}], "size": number} for number in range(4)]


def sent(ending: str, body: object, *, encoding: str = "") -> Sent:
    raw = json.dumps(body).encode()
    return Sent(f"{RECORDED}/{ending}" if ending else SESSIONS, gzip.compress(raw) if encoding else raw, encoding)


def link(number: int) -> dict[str, object]:
    return {"hash": f"{number:064x}", "path": f"/data/{number}"}


def publish() -> list[Sent]:
    """The requests of a publish of three jobs with five links."""
    return [
        sent("", {"mode": "anonymous_public", "client_session_id": "0" * 64}),
        sent("artifacts/batch", {"artifacts": ARTIFACTS}),
        sent("jobs/batch", {"jobs": JOBS}),
        sent(f"jobs/{JOBS[0]['job_uid']}/inputs", {"artifacts": [link(0), link(1)]}),
        sent(f"jobs/{JOBS[1]['job_uid']}/inputs", {"artifacts": [link(1)]}),
        sent(f"jobs/{JOBS[1]['job_uid']}/outputs", {"artifacts": [link(2), link(3)]}),
        sent("finalize", {}),
        sent("labels/batch", {"labels": []}),
    ]


def recording(folder: Path, requests: list[Sent]) -> Recording:
    """As it is read from a file."""
    file = folder / "recording"
    file.write_text("".join(request.to_line() for request in requests), encoding="utf-8")
    return Recording.read(file)


def test_a_recording_keeps_bodies_as_they_were_sent(tmp_path: Path) -> None:
    requests = publish()
    requests[1] = sent("artifacts/batch", {"artifacts": ARTIFACTS}, encoding="gzip")
    read = recording(tmp_path, requests)
    assert read.opening == requests[0]
    assert read.nodes == requests[1:3]
    assert read.links == requests[3:6]
    assert read.finalize == requests[6]
    assert read.labels == requests[7:]
    assert read.nodes[0].headers()["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in read.nodes[1].headers()


def test_a_request_moves_to_another_session() -> None:
    moved = sent("jobs/ab/inputs", {}).moved("other")
    assert moved.path == f"{SESSIONS}/other/jobs/ab/inputs"


def test_both_apps_store_the_same_rows(tmp_path: Path) -> None:
    requests = recording(tmp_path, publish())
    with registry_app(tmp_path / "data") as app:
        anyio.run(stage, app, requests)
    registry = connect_lineages(str(tmp_path / "data" / LINEAGES_NAME))
    bare = BareRegistry(tmp_path / "bare.db")
    anyio.run(stage, bare.app(), requests)
    try:
        for query, rows in {
            "SELECT uid, command, step_number FROM jobs ORDER BY uid": 3,
            "SELECT digest, size FROM artifacts ORDER BY digest": 4,
            "SELECT kind, digest, path FROM links ORDER BY kind, digest, path": 5,
        }.items():
            stored = [tuple(row) for row in registry.execute(query)]
            assert len(stored) == rows
            assert stored == bare.connection.execute(query).fetchall()
    finally:
        registry.close()
        bare.close()


def test_an_app_that_refuses_a_request_is_not_measured(tmp_path: Path) -> None:
    requests = publish()
    requests[2] = sent("jobs/batch", {"jobs": "none"})
    with registry_app(tmp_path / "data") as app, pytest.raises(ExceptionGroup) as raised:
        anyio.run(stage, app, recording(tmp_path, requests))
    assert raised.group_contains(Failed, match="jobs/batch got 4")


def test_others_are_answered_while_a_lineage_is_finalized(tmp_path: Path) -> None:
    with registry_app(tmp_path / "data") as app:
        waits = anyio.run(finalize, app, recording(tmp_path, publish()))
    assert waits
