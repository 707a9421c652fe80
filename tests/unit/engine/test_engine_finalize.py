"""The engine in FINALIZE and FALLBACK over a registry in the same process."""

import httpx2
import pytest
from msgspec.structs import replace

from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.registry.api.app import ALL_FEATURES
from roar_publisher.report import Noted
from roar_publisher.state.errors import Transient
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import StateFolder
from tests.support.engine.publishing import Publishing, Sent, answer, before, instead
from tests.support.lineages import chain, cut

pytestmark = pytest.mark.anyio
LINEAGE = cut(chain(4))
STRAIGHT = ["probed", "selected", "opened", "staged", "finalized"]


@pytest.fixture
def publishing(folder: StateFolder) -> Publishing:
    return Publishing(folder, LINEAGE)


def lose_links(publishing: Publishing, *, most: int) -> None:
    """Make the registry forget links of up to `most` digests, and count what is left."""
    publishing.do(f"DELETE FROM links WHERE digest IN (SELECT DISTINCT digest FROM links LIMIT {most})")
    for kind in ("inputs", "outputs"):
        left = (
            f"SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = graphs.id AND kind = '{kind}'"
        )
        publishing.do(f"UPDATE graphs SET {kind} = ({left})")


async def test_counts_that_differ_once_are_staged_again(publishing: Publishing) -> None:
    publishing.intercept = before("finalize", lambda: lose_links(publishing, most=1))
    progress = await publishing.run()
    assert (progress.state, progress.recounts) == (State.DONE, 1)
    assert publishing.events() == [*STRAIGHT[:4], "counts-differ", "staged", "finalized"]
    assert publishing.published() == publishing.expected()


async def test_counts_that_differ_twice_are_a_failure_and_nothing_is_published(publishing: Publishing) -> None:
    publishing.intercept = before("finalize", lambda: lose_links(publishing, most=1000), times=2)
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "counts differ")
    assert "staged" in progress.detail
    assert publishing.published()[0] == 0
    publishing.checkpoint(Event.RETRIED)
    assert (await publishing.run()).state is State.DONE


@pytest.mark.parametrize(
    "reply",
    [
        {"detail": "4 jobs expected, 3 staged"},
        {"message": "Staged counts do not match"},
        {"error": {"message": "count mismatch: expected 4"}},
        {"detail": "try again", "staged_counts": {"jobs": 3}},
    ],
)
async def test_counts_that_differ_are_recognised_in_other_words(
    publishing: Publishing, reply: dict[str, object]
) -> None:
    publishing.intercept = instead("finalize", lambda: answer(400, **reply), number=1)
    progress = await publishing.run()
    assert (progress.state, progress.recounts) == (State.DONE, 1)


@pytest.mark.parametrize(
    "detail",
    [
        "your account is suspended",
        "unexpected field scope_request",
        "bad git commit",
        "git_repo: invalid type, expected string",
        "this account expected another plan",
    ],
)
async def test_a_no_that_is_not_about_counts_is_final(publishing: Publishing, detail: str) -> None:
    publishing.intercept = instead("finalize", lambda: answer(400, detail=detail))
    progress = await publishing.run()
    assert (progress.state, progress.recounts) == (State.FAILED, 0)
    assert detail in progress.detail


async def test_a_finalize_whose_reply_is_lost_returns_the_same_receipt(publishing: Publishing) -> None:
    def intercept(sent: Sent) -> httpx2.Response | None:
        return httpx2.Response(200, content=b"{") if sent.call == "finalize" and sent.number < 3 else None

    publishing.intercept = intercept
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, LINEAGE.hash)
    assert publishing.published() == publishing.expected()


async def test_what_is_finalized_is_not_finalized_again_for_its_labels(publishing: Publishing) -> None:
    publishing.intercept = instead("labels/batch", lambda: httpx2.Response(200, content=b"<html>"))
    with pytest.raises(Transient):
        await publishing.run(patience=0)
    assert publishing.progress().hash == LINEAGE.hash
    publishing.intercept = lambda sent: None
    assert (await publishing.run()).state is State.DONE
    assert len(publishing.calls("finalize")) == 1
    assert publishing.published() == publishing.expected()


async def test_finalize_carries_git_and_the_expected_counts(publishing: Publishing) -> None:
    await publishing.run()
    (sent,) = publishing.calls("finalize")
    assert sent.document["expected"] == {"jobs": 4, "inputs": LINEAGE.inputs, "outputs": LINEAGE.outputs}
    assert "scope_request" not in sent.document


async def test_labels_that_are_refused_do_not_undo_the_publish(publishing: Publishing) -> None:
    publishing.intercept = instead("labels/batch", lambda: answer(422, detail="no labels today"))
    progress = await publishing.run()
    assert progress.state is State.DONE
    assert "labels are still to be sent" in progress.detail
    assert "no labels today" in progress.detail
    assert publishing.published()[:2] == (1, LINEAGE.hash)
    assert any(isinstance(report, Noted) and "roar label sync" in report.text for report in publishing.reports)


async def test_marks_in_a_missing_roar_db_are_not_owed(publishing: Publishing) -> None:
    progress = await publishing.run()
    assert progress.owed == ()
    assert any(isinstance(report, Noted) and "there is no /nowhere" in report.text for report in publishing.reports)


# ---------------------------------------------------------------- FALLBACK

OLDER: list[RegistrationSessionFeatures | None] = [
    None,
    replace(ALL_FEATURES, anonymous_public=False),
    replace(ALL_FEATURES, finalize_server_authoritative_hash=False),
]


@pytest.mark.parametrize("features", OLDER, ids=["no sessions", "no anonymous", "no server hash"])
async def test_an_older_registry_is_published_to_in_the_older_way(
    folder: StateFolder, features: RegistrationSessionFeatures | None
) -> None:
    publishing = Publishing(folder, LINEAGE, features=features)
    progress = await publishing.run()
    assert (progress.state, progress.hash, progress.remote_session) == (State.DONE, LINEAGE.hash, None)
    assert publishing.events() == ["probed", "no-staging", "fell-back"]
    assert publishing.published() == publishing.expected()
    assert {sent.authorization for sent in publishing.sent} == {None}
    uids = {job["job_uid"] for sent in publishing.calls("jobs/batch") for job in sent.document["jobs"]}
    assert uids == {job.uid for job in LINEAGE.jobs}, "the older way sends local uids"


async def test_an_older_registry_that_names_another_hash_is_refused(folder: StateFolder) -> None:
    publishing = Publishing(folder, LINEAGE, features=None)
    publishing.intercept = instead("sessions", lambda: answer(200, hash="b" * 64))
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "receipt")
    assert f"it registered {'b' * 64}" in progress.detail


async def test_a_failed_fallback_continues_where_it_stopped(folder: StateFolder) -> None:
    publishing = Publishing(folder, LINEAGE, features=None)
    publishing.intercept = instead("outputs", lambda: answer(422, detail="not like this"))
    assert (await publishing.run()).state is State.FAILED
    publishing.intercept = lambda sent: None
    publishing.checkpoint(Event.RETRIED)
    assert (await publishing.run()).state is State.DONE
    jobs = [item for item in publishing.items() if item[0] == "jobs"]
    assert len(jobs) == len(set(jobs))
    assert publishing.published() == publishing.expected()


async def test_consent_is_asked_for_once(folder: StateFolder) -> None:
    """A publish that was agreed to and then interrupted continues without another question."""
    publishing = Publishing(folder, LINEAGE)
    publishing.intercept = instead("finalize", lambda: answer(409, detail="busy"), number=1)
    with pytest.raises(Transient):
        await publishing.run()
    publishing.checkpoint(Event.CREDENTIAL_REJECTED)
    assert (await publishing.run(confirmed=False)).state is State.DONE


async def test_a_conflict_in_the_older_way_is_a_no_unless_the_lineage_is_closed(folder: StateFolder) -> None:
    publishing = Publishing(folder, LINEAGE, features=None)
    publishing.intercept = instead("outputs", lambda: answer(409, detail="concurrent update"), number=1)
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "rejected")
    assert "concurrent update" in progress.detail
    publishing.checkpoint(Event.RETRIED)
    assert (await publishing.run()).state is State.DONE
    assert publishing.published() == publishing.expected()


async def test_what_a_session_published_takes_no_more_in_the_older_way(folder: StateFolder) -> None:
    publishing = Publishing(folder, LINEAGE)
    await publishing.run()
    publishing.begin(LINEAGE)
    publishing.intercept = instead("health", lambda: answer(404, detail="no such route"))
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, LINEAGE.hash)
    assert publishing.events() == ["probed", "no-staging", "fell-back"]
    assert publishing.published() == publishing.expected()
    assert any(isinstance(report, Noted) and "published before" in report.text for report in publishing.reports)
