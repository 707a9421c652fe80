"""The engine over a registry in the same process: every row of the transition table, reached by its real cause."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace

import anyio
import httpx2
import pytest

from roar_publisher.engine.loop import MAX_SETBACKS
from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.registry.api.app import ALL_FEATURES
from roar_publisher.report import Entered, Noted
from roar_publisher.state.errors import Conclusion, Interrupted, NeedsUser, Transient
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.status_reader import count_all
from tests.support.engine.publishing import Publishing, Sent, answer, before, instead
from tests.support.lineages import chain, cut

pytestmark = pytest.mark.anyio
LINEAGE = cut(chain(4))
STRAIGHT = ["probed", "selected", "opened", "staged", "finalized"]
ELSEWHERE = "e" * 64


@pytest.fixture
def publishing(folder: StateFolder) -> Publishing:
    return Publishing(folder, LINEAGE)


async def test_straight_through(publishing: Publishing) -> None:
    progress = await publishing.run()
    assert progress.state is State.DONE
    assert progress.hash == LINEAGE.hash
    assert progress.url is not None
    assert progress.url.endswith(LINEAGE.hash)
    assert publishing.events() == STRAIGHT
    assert publishing.published() == publishing.expected()
    assert len(publishing.items()) == len(set(publishing.items())), "nothing is sent twice"
    entered = [report.state for report in publishing.reports if isinstance(report, Entered)]
    assert entered == [State.PROBE, State.AUTH_SELECT, State.OPEN, State.STAGE, State.FINALIZE, State.DONE]


async def test_the_token_is_on_disk_only_while_the_session_is_open(publishing: Publishing) -> None:
    seen: set[str] = set()

    def look(sent: Sent) -> None:
        seen.update(publishing.files_with_a_token())

    publishing.intercept = look
    await publishing.run()
    assert seen == {"session-token"}
    assert publishing.files_with_a_token() == set()
    shown = repr(publishing.reports).encode()
    assert not [token for token in publishing.tokens() if token in shown]
    bearers = {sent.authorization for sent in publishing.sent}
    assert bearers == {None, f"RegistrationSession {publishing.tokens()[0].decode()}"}


async def test_a_finished_publish_sends_nothing_more(publishing: Publishing) -> None:
    first = await publishing.run()
    sent = len(publishing.sent)
    assert await publishing.run() == first
    assert len(publishing.sent) == sent


async def test_a_cancelled_publish_sends_nothing(publishing: Publishing) -> None:
    publishing.checkpoint(Event.CANCELLED)
    assert (await publishing.run()).state is State.CANCELLED
    assert publishing.sent == []


async def test_asked_to_stop_before_it_began_it_says_how_to_go_on(publishing: Publishing) -> None:
    publishing.stop.set()
    with pytest.raises(Interrupted) as caught:
        await publishing.run()
    assert caught.value.conclusion is Conclusion.STOPPED
    assert publishing.sent == []
    assert publishing.progress().reason == "interrupted"


@pytest.mark.parametrize("attended", [True, False])
async def test_only_a_stop_by_a_person_waits_for_that_person(publishing: Publishing, attended: bool) -> None:
    """A daemon that is stopped goes on by itself when it runs again."""
    publishing.stop.set()
    with pytest.raises(Interrupted):
        await publishing.run(attended=attended)
    assert publishing.queued().parked is attended
    publishing.stop = anyio.Event()
    assert (await publishing.run(attended=attended)).state is State.DONE
    assert not publishing.queued().parked


async def test_a_lost_network_does_not_count_as_a_stop_by_the_user(publishing: Publishing) -> None:
    publishing.intercept = lambda sent: httpx2.Response(503, headers={"Retry-After": "3600"})
    with pytest.raises(Transient):
        await publishing.run(attended=True, patience=1.0)
    assert not publishing.queued().parked


# ---------------------------------------------------------------- PROBE


async def test_a_registry_that_redirects_is_asked_again_by_the_next_run(publishing: Publishing) -> None:
    publishing.intercept = instead(
        "health", lambda: httpx2.Response(302, headers={"location": "https://elsewhere.example/"})
    )
    with pytest.raises(Transient, match=r"redirects to elsewhere\.example"):
        await publishing.run()
    progress = publishing.progress()
    assert (progress.state, progress.reason) == (State.PROBE, "not glaas")
    assert len(publishing.sent) == 1
    publishing.intercept = lambda sent: None
    assert (await publishing.run()).state is State.DONE
    assert publishing.events() == STRAIGHT


async def test_a_registry_that_wants_no_health_asked_is_a_final_no_until_it_is_retried(publishing: Publishing) -> None:
    publishing.intercept = instead("health", lambda: httpx2.Response(400, json={"detail": "not like this"}))
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "rejected")
    assert "not like this" in progress.detail
    assert len(publishing.sent) == 1
    publishing.intercept = lambda sent: None
    publishing.checkpoint(Event.RETRIED)
    assert (await publishing.run()).state is State.DONE
    assert publishing.events() == ["rejected", "retried", *STRAIGHT]


@pytest.mark.parametrize("status", [401, 403, 404, 405])
async def test_a_registry_without_health_is_an_older_one(publishing: Publishing, status: int) -> None:
    publishing.intercept = instead("health", lambda: answer(status, detail="no such route"))
    assert (await publishing.run()).state is State.DONE
    assert publishing.events() == ["probed", "no-staging", "fell-back"]


@pytest.mark.parametrize("body", [b"", b"<html>Error response</html>", b"[]", b'"Not Found"'])
@pytest.mark.parametrize("status", [401, 403, 404, 405])
async def test_a_web_server_that_is_not_a_registry_receives_nothing(
    publishing: Publishing, status: int, body: bytes
) -> None:
    publishing.intercept = instead("health", lambda: httpx2.Response(status, content=body))
    with pytest.raises(Transient) as caught:
        await publishing.run()
    assert caught.value.reason == "not glaas"
    assert {sent.call for sent in publishing.sent} == {"health"}
    assert publishing.progress().state is State.PROBE
    publishing.intercept = lambda sent: None
    assert (await publishing.run()).state is State.DONE


# ---------------------------------------------------------------- AUTH_SELECT


async def test_without_consent_nothing_is_published_and_the_publish_waits(publishing: Publishing) -> None:
    with pytest.raises(NeedsUser) as caught:
        await publishing.run(confirmed=False)
    assert caught.value.conclusion is Conclusion.NEEDS_USER
    assert publishing.progress().state is State.AUTH_SELECT
    assert publishing.progress().reason == "needs confirmation"
    assert [sent.call for sent in publishing.sent] == ["health"]
    assert (await publishing.run()).state is State.DONE


async def test_who_publishes_never_changes_silently(publishing: Publishing) -> None:
    publishing.intercept = instead("registration-sessions", lambda: answer(400, detail="not now"))
    assert (await publishing.run()).identity == "anonymous"
    with OwnedPublish.open(publishing.paths) as owned:
        owned.journal.remember(identity="treqs:user:somebody")
        owned.journal.checkpoint(Event.RETRIED)
    with pytest.raises(NeedsUser, match="treqs:user:somebody"):
        await publishing.run()
    assert publishing.progress().state is State.AUTH_SELECT


# ---------------------------------------------------------------- OPEN


async def test_a_session_that_is_closed_already_only_gives_its_receipt(publishing: Publishing) -> None:
    """The journal was lost after an earlier finalize: opening again meets the same session."""
    first = await publishing.run()
    publishing.begin(LINEAGE)
    publishing.sent.clear()
    second = await publishing.run()
    assert (second.state, second.hash, second.url) == (State.DONE, first.hash, first.url)
    assert publishing.events() == ["probed", "selected", "already-published", "finalized"]
    assert publishing.published() == publishing.expected()
    assert {item[0] for item in publishing.items()} == {"labels"}


async def test_opening_is_asked_for_under_the_same_name_until_the_session_is_lost(publishing: Publishing) -> None:
    publishing.intercept = before("finalize", lambda: publishing.do("DELETE FROM sessions"))
    await publishing.run()
    publishing.begin(LINEAGE)
    publishing.intercept = lambda sent: None
    await publishing.run()
    names = [sent.document["client_session_id"] for sent in publishing.calls("registration-sessions")]
    first, asked_for, second, after_a_lost_journal = names
    assert asked_for == first, "a session is lost only once the registry was asked for it"
    assert second != first, "a lost session is not opened again"
    assert after_a_lost_journal == first, "a lost journal changes nothing"


@pytest.mark.parametrize("token", [None, "", "line\r\nbreak", "é"])
async def test_a_session_without_a_usable_token_is_rejected(publishing: Publishing, token: str | None) -> None:
    reply = {"registration_session_id": "rs", "registration_session_token": token}
    publishing.intercept = instead("registration-sessions", lambda: answer(200, **reply))
    if not token:
        assert (await publishing.run()).state is State.FAILED
    else:
        with pytest.raises(Transient, match="is not a GLaaS registry"):
            await publishing.run()
    assert not publishing.paths.session_token.exists()


# ---------------------------------------------------------------- STAGE


@pytest.mark.parametrize("call", ["jobs/batch", "artifacts/batch", "inputs", "outputs", "finalize"])
async def test_a_lost_session_is_opened_and_staged_again(publishing: Publishing, call: str) -> None:
    publishing.intercept = before(call, lambda: publishing.do("DELETE FROM sessions"))
    progress = await publishing.run()
    assert (progress.state, progress.epoch) == (State.DONE, 1)
    assert publishing.events().count("session-lost") == 1
    assert publishing.published() == publishing.expected()


@pytest.mark.parametrize("call", ["inputs", "finalize"])
async def test_a_registry_that_loses_every_session_is_not_asked_for_ever(publishing: Publishing, call: str) -> None:
    publishing.intercept = before(call, lambda: publishing.do("DELETE FROM sessions"), times=99)
    with pytest.raises(Transient, match="repeatedly rejects requests") as caught:
        await publishing.run()
    assert caught.value.reason == "session lost"
    assert publishing.events().count("session-lost") == MAX_SETBACKS


async def test_a_lost_token_is_fetched_again_and_nothing_is_sent_again(publishing: Publishing) -> None:
    publishing.intercept = before("outputs", publishing.paths.forget_session_token)
    progress = await publishing.run()
    assert (progress.state, progress.epoch) == (State.DONE, 0)
    assert publishing.events().count("credential-rejected") == 1
    assert publishing.published() == publishing.expected()
    jobs = [item for item in publishing.items() if item[0] == "jobs"]
    assert len(jobs) == len(set(jobs)), "what was acknowledged before stays acknowledged"


async def test_a_token_that_is_rejected_at_finalize_is_fetched_again(publishing: Publishing) -> None:
    publishing.intercept = instead("finalize", lambda: answer(401, detail="who are you"), number=1)
    assert (await publishing.run()).state is State.DONE
    assert publishing.events() == [*STRAIGHT[:4], "credential-rejected", "selected", "opened", "staged", "finalized"]
    assert len(publishing.items()) == len(set(publishing.items()))


@pytest.mark.parametrize("status", [401, 403])
async def test_a_registry_that_rejects_every_token_needs_a_person(publishing: Publishing, status: int) -> None:
    publishing.intercept = instead("inputs", lambda: answer(status, detail="who are you"))
    with pytest.raises(NeedsUser, match="who are you") as caught:
        await publishing.run()
    assert caught.value.reason == "auth"
    assert "roar journal cancel" in caught.value.next_step, "the user is not signed in"
    assert publishing.progress().state is State.STAGE
    assert publishing.events().count("credential-rejected") == MAX_SETBACKS


async def test_a_session_that_was_finalized_meanwhile_returns_its_receipt(publishing: Publishing) -> None:
    """The journal is an older copy: it believes that the session is open."""
    publishing.intercept = instead("finalize", lambda: httpx2.Response(200, content=b"<html>"))
    with pytest.raises(Transient):
        await publishing.run(patience=0)
    publishing.intercept = lambda sent: None
    journal = publishing.paths.journal
    older = journal.read_bytes()
    first = await publishing.run()
    journal.write_bytes(older)
    with OwnedPublish.open(publishing.paths) as owned:
        owned.journal.db.execute("UPDATE progress SET state = 'stage'")
        owned.journal.db.execute("UPDATE units SET acked = 0")
    publishing.paths.write_session_token(publishing.tokens()[0].decode())
    second = await publishing.run()
    assert (second.state, second.hash) == (State.DONE, first.hash)
    assert publishing.events()[-2:] == ["already-published", "finalized"]
    assert publishing.published() == publishing.expected()


@pytest.mark.parametrize("call", ["jobs/batch", "artifacts/batch", "inputs", "outputs"])
async def test_a_conflict_in_an_open_session_finalizes_nothing(publishing: Publishing, call: str) -> None:
    """Without expected counts, the registry would publish what is staged so far."""
    publishing.intercept = instead(call, lambda: answer(409, detail="concurrent update, try again"))
    with pytest.raises(Transient, match="concurrent update") as caught:
        await publishing.run()
    assert caught.value.reason == "server failing"
    assert publishing.progress().state is State.STAGE
    assert publishing.calls("finalize") == []
    publishing.intercept = lambda sent: None
    progress = await publishing.run()
    assert (progress.state, progress.epoch) == (State.DONE, 0)
    assert publishing.events() == STRAIGHT
    assert publishing.published() == publishing.expected()


async def test_a_conflict_is_one_also_where_the_registry_does_not_say_how_the_session_stands(
    publishing: Publishing,
) -> None:
    def intercept(sent: Sent) -> httpx2.Response | None:
        if sent.call == "registration-sessions" and sent.number > 1:
            return answer(422, detail="not like this")
        return answer(409, detail="concurrent update") if sent.call == "outputs" else None

    publishing.intercept = intercept
    with pytest.raises(Transient, match="concurrent update"):
        await publishing.run()
    publishing.intercept = lambda sent: None
    assert (await publishing.run()).state is State.DONE


# ---------------------------------------------------------------- published elsewhere


def registered_under(hashes: Callable[[Sent], list[str]]) -> Callable[[Sent], httpx2.Response | None]:
    """A registry that has the jobs of a batch already, under the hashes it names (none: they are new)."""

    def intercept(sent: Sent) -> httpx2.Response | None:
        if sent.call != "jobs/batch" or not (found := hashes(sent)):
            return None
        return answer(200, created_count=0, existing_count=0, already_registered_session_hashes=found)

    return intercept


async def test_a_lineage_that_is_published_already_is_not_finalized_again(publishing: Publishing) -> None:
    publishing.intercept = registered_under(lambda sent: [ELSEWHERE])
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, ELSEWHERE)
    assert publishing.events() == ["probed", "selected", "opened", "already-published", "finalized"]
    assert publishing.calls("finalize") == []
    jobs = [item for item in publishing.items() if item[0] == "jobs"]
    assert sorted(jobs) == sorted(set(jobs)), "no job was sent twice"
    assert len(jobs) == len(LINEAGE.jobs), "every job was asked about"
    assert publishing.calls("labels/batch") == []
    labels = {label["session_hash"] for sent in publishing.calls("sync") for label in sent.document["labels"]}
    assert labels <= {ELSEWHERE}


@pytest.mark.parametrize(
    "hashes",
    [
        lambda sent: [ELSEWHERE] if sent.number == 1 else [],
        lambda sent: [] if sent.number == 1 else [ELSEWHERE],
        lambda sent: [ELSEWHERE, "f" * 64],
        lambda sent: [ELSEWHERE] if sent.number == 1 else ["f" * 64],
    ],
    ids=["some are new", "some are old", "under two hashes at once", "under two hashes"],
)
async def test_a_lineage_that_overlaps_another_is_a_failure(
    publishing: Publishing, hashes: Callable[[Sent], list[str]]
) -> None:
    batches: list[bytes] = []

    def numbered(sent: Sent) -> list[str]:
        if sent.body not in batches:
            batches.append(sent.body)
        return hashes(Sent(sent.method, sent.path, sent.body, sent.authorization, batches.index(sent.body) + 1))

    publishing.intercept = registered_under(numbered)
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "overlap")
    assert publishing.calls("finalize") == []


async def test_what_a_lost_session_said_of_its_jobs_does_not_bind_the_next(publishing: Publishing) -> None:
    """Finalized, the reply was lost, and then the session: the next one hears that all of it is published."""
    lost = False

    def intercept(sent: Sent) -> httpx2.Response | None:
        nonlocal lost
        if sent.call == "finalize" and not lost:
            lost = True
            publishing.do("DELETE FROM sessions")
            return answer(404, detail="no such session")
        return registered_under(lambda sent: [LINEAGE.hash] if lost else [])(sent)

    publishing.intercept = intercept
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, LINEAGE.hash)


# ---------------------------------------------------------------- FINALIZE


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


# ---------------------------------------------------------------- anywhere

STAGING_CALLS = ["jobs/batch", "artifacts/batch", "artifacts/composites", "inputs", "outputs"]


@pytest.mark.parametrize("call", ["registration-sessions", *STAGING_CALLS, "finalize"])
async def test_a_final_no_fails_with_the_registrys_words_and_can_be_retried(publishing: Publishing, call: str) -> None:
    publishing.intercept = instead(call, lambda: answer(422, detail="not like this"))
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "rejected")
    assert "not like this" in progress.detail
    assert publishing.published()[0] == 0
    publishing.intercept = lambda sent: None
    publishing.checkpoint(Event.RETRIED)
    assert (await publishing.run()).state is State.DONE
    assert publishing.published() == publishing.expected()


NOT_JSON = [b"", b"<html>", b'{"hash": ', b"[" * 50_000]
NO_REPLY = [b"[]", b"7", b'"text"']


@pytest.mark.parametrize("body", NO_REPLY, ids=repr)
async def test_a_registry_that_answers_nonsense_is_said_to_be_none(publishing: Publishing, body: bytes) -> None:
    publishing.intercept = lambda sent: httpx2.Response(200, content=body) if sent.call == "jobs/batch" else None
    with pytest.raises(Transient, match="is not a GLaaS registry") as caught:
        await publishing.run()
    assert caught.value.conclusion is Conclusion.INTERRUPTED
    assert publishing.progress().state is State.STAGE
    publishing.intercept = lambda sent: None
    assert (await publishing.run()).state is State.DONE


async def test_a_token_that_can_not_be_removed_does_not_stop_a_publish_that_is_out(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("roar_publisher.state.paths.forget_private", refuse)
    done = await publishing.run()
    assert done.state is State.DONE
    assert publishing.paths.session_token.exists()
    monkeypatch.undo()
    assert len(list(count_all(publishing.folder))) == 1
    assert not publishing.paths.session_token.exists(), "the next look removes it"


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:12]))
async def test_a_reply_that_is_not_json_during_a_publish_comes_from_an_intermediary(
    publishing: Publishing, body: bytes
) -> None:
    publishing.intercept = lambda sent: httpx2.Response(200, content=body) if sent.call == "jobs/batch" else None
    with pytest.raises(Transient, match="an intermediary answers in place of the registry") as caught:
        await publishing.run(patience=0)
    assert (caught.value.conclusion, caught.value.reason) == (Conclusion.INTERRUPTED, "front")
    assert publishing.progress().state is State.STAGE
    publishing.intercept = lambda sent: None
    assert (await publishing.run()).state is State.DONE
