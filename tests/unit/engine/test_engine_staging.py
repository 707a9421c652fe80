"""The engine in STAGE, over a registry in the same process: lost sessions and tokens, conflicts, known jobs."""

from collections.abc import Callable

import httpx2
import pytest

from roar_publisher.engine.loop import MAX_SETBACKS
from roar_publisher.publishing.result import NO_FILES, result_of
from roar_publisher.state.errors import NeedsUser, Transient
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from tests.support.engine.publishing import Publishing, Sent, answer, before, instead
from tests.support.lineages import REGISTRY, chain, cut

pytestmark = pytest.mark.anyio
LINEAGE = cut(chain(4))
STRAIGHT = ["probed", "selected", "opened", "staged", "finalized"]
ELSEWHERE = "e" * 64
PAGE = f"{REGISTRY}/dag/{ELSEWHERE}"


@pytest.fixture
def publishing(folder: StateFolder) -> Publishing:
    return Publishing(folder, LINEAGE)


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
    ("status", "reply", "url", "visibility"),
    [
        (200, {"hash": ELSEWHERE, "url": PAGE, "visibility": "public"}, PAGE, "public"),
        (200, {"hash": ELSEWHERE, "jobs": []}, None, None),
        (200, {"url": "https://phish.example/", "visibility": "private"}, None, "private"),
        (200, {"url": 7, "visibility": 7}, None, None),
        (404, {"detail": "no such lineage"}, None, None),
    ],
    ids=["ours", "another registry", "a page elsewhere", "nonsense", "not found"],
)
async def test_a_lineage_that_is_published_already_has_its_page_and_visibility(
    publishing: Publishing, status: int, reply: dict[str, object], url: str | None, visibility: str | None
) -> None:
    jobs = registered_under(lambda sent: [ELSEWHERE])
    publishing.intercept = lambda sent: answer(status, **reply) if sent.call == ELSEWHERE else jobs(sent)
    progress = await publishing.run()
    assert (progress.state, progress.url) == (State.DONE, url)
    with OwnedPublish.open(publishing.paths) as owned:
        result = result_of(publishing.paths, owned.journal.plan(), progress, NO_FILES)
    assert result.visibility == visibility
    assert result.sentences()[0].startswith(f"Published before, {visibility or 'visibility unchanged'}, ")


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
