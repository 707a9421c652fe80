"""Units on the wire: the staged and the legacy spelling of each kind, and halves."""

import json

import pytest

from roar_publisher.engine.staging.routes import LegacyRoute, StagedRoute, UnitRoute, halves
from roar_publisher.state.units import Kind, Unit

HASH = "a" * 64
STAGED = StagedRoute("rs-1", lambda uid: f"remote-{uid}", lineage_hash=HASH)
BESIDE = StagedRoute("rs-1", lambda uid: f"remote-{uid}", lineage_hash=HASH, labels_in_session=False)
LEGACY = LegacyRoute(HASH)
SESSION, LINEAGE = "/api/v1/registration-sessions/rs-1", f"/api/v1/sessions/{HASH}"
JOB = {"job_uid": "j1", "parent_job_uid": "j0", "command": "x"}
REMOTE_JOB = {"job_uid": "remote-j1", "parent_job_uid": "remote-j0", "command": "x"}
ARTIFACT = {"hashes": [{"algorithm": "blake3", "digest": "d"}], "size": 1}
LINK = {"hash": "d", "path": "p"}
LABEL = {"entity_type": "job", "job_uid": "j1", "metadata": {}}
SENT_LABEL = {"session_hash": HASH, "entity_type": "job", "metadata": {}}


def unit(kind: Kind, *items: object, job_uid: str | None = None) -> Unit:
    return Unit(1, kind, job_uid, len(items), 0, json.dumps(items).encode())


@pytest.mark.parametrize(
    ("uid", "segment"),
    [
        ("../../labels/sync?", "..%2F..%2Flabels%2Fsync%3F"),
        ("a b#c", "a%20b%23c"),
        ("é", "%C3%A9"),
        ("a.b_c~-1", "a.b_c~-1"),
    ],
)
def test_a_uid_of_roar_db_leads_to_no_other_endpoint(uid: str, segment: str) -> None:
    path, _body = LEGACY.request(unit(Kind.INPUTS, LINK, job_uid=uid))
    assert path == f"{LINEAGE}/jobs/{segment}/inputs"


@pytest.mark.parametrize(
    ("route", "kind", "item", "path", "body"),
    [
        (STAGED, Kind.JOBS, JOB, f"{SESSION}/jobs/batch", {"jobs": [REMOTE_JOB]}),
        (LEGACY, Kind.JOBS, JOB, f"{LINEAGE}/jobs/batch", {"jobs": [JOB]}),
        (STAGED, Kind.ARTIFACTS, ARTIFACT, f"{SESSION}/artifacts/batch", {"artifacts": [ARTIFACT]}),
        (
            LEGACY,
            Kind.ARTIFACTS,
            ARTIFACT,
            "/api/v1/artifacts/batch",
            {"artifacts": [{"session_hash": HASH} | ARTIFACT]},
        ),
        (STAGED, Kind.COMPOSITE, ARTIFACT, f"{SESSION}/artifacts/composites", ARTIFACT),
        (LEGACY, Kind.COMPOSITE, ARTIFACT, "/api/v1/artifacts/composites", ARTIFACT | {"session_hash": HASH}),
        (STAGED, Kind.INPUTS, LINK, f"{SESSION}/jobs/remote-j1/inputs", {"artifacts": [LINK]}),
        (STAGED, Kind.OUTPUTS, LINK, f"{SESSION}/jobs/remote-j1/outputs", {"artifacts": [LINK]}),
        (LEGACY, Kind.OUTPUTS, LINK, f"{LINEAGE}/jobs/j1/outputs", {"artifacts": [LINK]}),
        (STAGED, Kind.LABELS, LABEL, f"{SESSION}/labels/batch", {"labels": [SENT_LABEL | {"job_uid": "remote-j1"}]}),
        (BESIDE, Kind.LABELS, LABEL, "/api/v1/labels/sync", {"labels": [SENT_LABEL | {"job_uid": "remote-j1"}]}),
        (LEGACY, Kind.LABELS, LABEL, "/api/v1/labels/sync", {"labels": [SENT_LABEL | {"job_uid": "j1"}]}),
    ],
)
def test_each_kind_has_its_path_and_body(route: UnitRoute, kind: Kind, item: object, path: str, body: object) -> None:
    sent_path, sent_body = route.request(unit(kind, item, job_uid="j1"))
    assert (sent_path, json.loads(sent_body)) == (path, body)


def test_the_same_unit_is_the_same_bytes_each_time() -> None:
    whole = unit(Kind.JOBS, JOB, JOB | {"command": "é\u2028"})
    assert STAGED.request(whole) == STAGED.request(whole)
    assert STAGED.request(whole)[1].isascii()


@pytest.mark.parametrize("count", [2, 3, 7])
def test_halves_hold_everything_once_and_in_order(count: int) -> None:
    whole = unit(Kind.INPUTS, *range(count), job_uid="j1")
    first, second = halves(whole)
    assert json.loads(first.body) + json.loads(second.body) == list(range(count))
    assert first.items + second.items == count
    assert abs(first.items - second.items) <= 1
    assert {(u.seq, u.kind, u.job_uid, u.after) for u in (first, second)} == {(1, Kind.INPUTS, "j1", 0)}
