"""The engine over a registry in the same process: each row of the transition table, reached by its real cause.

STAGE is in `test_engine_staging`, FINALIZE and FALLBACK are in `test_engine_finalize`.
"""

import errno
import os

import anyio
import httpx2
import pytest

from roar_publisher.report import Entered
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
    assert (caught.value.conclusion, caught.value.reason) == (Conclusion.INTERRUPTED, "intermediary")
    assert publishing.progress().state is State.STAGE
    publishing.intercept = lambda sent: None
    assert (await publishing.run()).state is State.DONE
