"""A 404 inside of a session: a registry that lost the session, or that never had the endpoint."""

from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest

from roar_publisher.report import Noted
from roar_publisher.state.errors import Transient
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from tests.support.engine.publishing import Publishing, Sent, answer, instead
from tests.support.lineages import chain, cut

pytestmark = pytest.mark.anyio
LINEAGE = cut(chain(4))
LACKING = {404: "Endpoint not found", 405: "Method Not Allowed", 501: "not implemented"}


@pytest.fixture
def publishing(folder: StateFolder) -> Publishing:
    return Publishing(folder, LINEAGE)


def lacking(*calls: str, status: int = 404) -> Callable[[Sent], httpx2.Response | None]:
    return lambda sent: answer(status, detail=LACKING[status]) if sent.call in calls else None


def strict(uid_of_other_sessions: set[str]) -> Callable[[Sent], httpx2.Response | None]:
    """A registry without staged artifacts, which takes no job that another open session has."""

    def intercept(sent: Sent) -> httpx2.Response | None:
        if sent.call in ("artifacts/batch", "artifacts/composites"):
            return answer(404, detail="Not Found")
        if sent.call == "jobs/batch":
            session = sent.path.split("/")[-3]
            uids = {f"{job['job_uid']}@{session}" for job in sent.document["jobs"]}
            taken = {uid.partition("@")[0] for uid in uid_of_other_sessions - uids}
            if taken & {uid.partition("@")[0] for uid in uids}:
                return answer(409, detail="job_uid already belongs to another session")
            uid_of_other_sessions.update(uids)
        return None

    return intercept


async def test_a_strict_registry_without_staged_artifacts_is_published_to_at_once(
    publishing: Publishing,
) -> None:
    publishing.intercept = strict(set())
    progress = await publishing.run()
    assert (progress.state, progress.epoch, progress.hash) == (State.DONE, 0, LINEAGE.hash)
    assert "session-lost" not in publishing.events()
    assert publishing.published()[:6] == publishing.expected()[:6], "every artifact is there, by its links"


@pytest.mark.parametrize("features", ["staged", "legacy"])
@pytest.mark.parametrize("status", LACKING)
@pytest.mark.parametrize(
    "calls", [("artifacts/batch",), ("artifacts/composites",), ("artifacts/batch", "artifacts/composites")]
)
async def test_what_has_no_endpoint_travels_with_the_links(
    folder: StateFolder, calls: tuple[str, ...], status: int, features: str
) -> None:
    publishing = Publishing(folder, LINEAGE) if features == "staged" else Publishing(folder, LINEAGE, features=None)
    publishing.intercept = lacking(*calls, status=status)
    progress = await publishing.run()
    assert (progress.state, progress.epoch) == (State.DONE, 0), progress.detail
    notes = [report.text for report in publishing.reports if isinstance(report, Noted)]
    assert sum("this registry does not accept" in note for note in notes) == len(calls), "each is said once"
    links = [
        link for call in ("inputs", "outputs") for sent in publishing.calls(call) for link in sent.document["artifacts"]
    ]
    assert {link["size"] for link in links} == {7}
    asked = features == "staged" and status == 404  # only a 404 may be about the session
    assert len(publishing.calls("registration-sessions")) == (features == "staged") + asked * len(calls)


class MetTogether(Publishing):
    """A registry that answers only when every other task waits for something, which trio alone knows exactly."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if request.url.path.endswith(("/artifacts/batch", "/registration-sessions")):
            await anyio.wait_all_tasks_blocked()
        return response


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_the_session_is_requested_once_by_however_many_meet_a_missing_endpoint(folder: StateFolder) -> None:
    publishing = MetTogether(folder, cut(chain(20), batch=lambda: 1))
    publishing.intercept = lacking("artifacts/batch")
    assert (await publishing.run()).state is State.DONE
    assert len(publishing.calls("artifacts/batch")) > 1, "several requests meet it at once"
    assert len(publishing.calls("registration-sessions")) == 2, "one opens it, one asks whether it exists"
    assert publishing.published()[:6] == publishing.expected()[:6]


async def test_links_of_real_plans_carry_sizes_only_without_an_endpoint(folder: StateFolder) -> None:
    def bare(item: dict[str, Any]) -> None:
        item.pop("size")

    lineage = cut(chain(3), link=bare)
    plain = Publishing(folder, lineage)
    await plain.run()
    assert not [link for sent in plain.calls("inputs") for link in sent.document["artifacts"] if "size" in link]
    other = Publishing(StateFolder(folder.root / "other"), lineage)
    other.intercept = lacking("artifacts/batch", "artifacts/composites")
    assert (await other.run()).state is State.DONE
    assert [link["size"] for sent in other.calls("inputs") for link in sent.document["artifacts"]] == [7, 7, 7]


async def test_a_missing_endpoint_is_remembered_by_the_next_process(publishing: Publishing) -> None:
    def intercept(sent: Sent) -> httpx2.Response | None:
        return answer(409, detail="later") if sent.call == "outputs" else lacking("artifacts/batch")(sent)

    publishing.intercept = intercept
    with pytest.raises(Transient):
        await publishing.run()
    asked = len(publishing.calls("artifacts/batch"))
    publishing.intercept = lacking("artifacts/batch")
    assert (await publishing.run()).state is State.DONE
    assert len(publishing.calls("artifacts/batch")) == asked


@pytest.mark.parametrize("call", ["jobs/batch", "inputs", "outputs", "finalize"])
async def test_a_404_in_a_session_that_is_there_gives_nothing_up(publishing: Publishing, call: str) -> None:
    publishing.intercept = lacking(call)
    with pytest.raises(Transient, match="has this session, but not the requested resource"):
        await publishing.run()
    assert "session-lost" not in publishing.events()
    publishing.intercept = lambda sent: None
    progress = await publishing.run()
    assert (progress.state, progress.epoch) == (State.DONE, 0)
    assert publishing.published() == publishing.expected()


async def test_a_404_from_everything_gives_nothing_up(publishing: Publishing) -> None:
    """What routes the requests has lost its routes, and speaks JSON."""

    def unrouted(sent: Sent) -> httpx2.Response | None:
        begun = publishing.calls("inputs")
        return answer(404, message="no Route matched with those values") if begun else None

    publishing.intercept = unrouted
    with pytest.raises(Transient, match="cannot be requested"):
        await publishing.run()
    publishing.intercept = lambda sent: None
    progress = await publishing.run()
    assert (progress.state, progress.epoch) == (State.DONE, 0)


# ---------------------------------------------------------------- prepared for another scope


def prepared(lineage_hash: str, *, remembered_by: list[Sent]) -> Callable[[Sent], httpx2.Response | None]:
    """A registry that has every job, and has prepared them for another scope."""

    def intercept(sent: Sent) -> httpx2.Response | None:
        if sent.call == "jobs/batch":
            reply = {"job_ids": [], "errors": [], "created_count": 0, "existing_count": 0}
            hashes = {"already_registered_session_hashes": [lineage_hash]}
            return answer(200, **reply, **hashes, existing_binding_prepared=True)
        if sent.call == "finalize":
            remembered_by.append(sent)
            return answer(200, hash=lineage_hash, url=f"https://glaas.example/dag/{lineage_hash}", created=False)
        return answer(200) if sent.call == "labels/batch" else None

    return intercept


async def test_what_is_prepared_for_another_scope_is_finalized_and_nothing_else_is_sent(publishing: Publishing) -> None:
    finalized: list[Sent] = []
    publishing.intercept = prepared("e" * 64, remembered_by=finalized)
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, "e" * 64)
    assert publishing.events() == ["probed", "selected", "opened", "staged", "finalized"]
    (sent,) = finalized
    assert "expected" not in sent.document, "nothing is staged in this session"
    assert not publishing.calls("inputs")
    assert publishing.calls("labels/batch"), "labels go through the session"
    assert not publishing.calls("labels/sync")


async def test_what_is_prepared_is_finalized_by_the_next_process_as_well(publishing: Publishing) -> None:
    finalized: list[Sent] = []
    publishing.intercept = prepared("e" * 64, remembered_by=finalized)
    whole = publishing.intercept
    publishing.intercept = lambda sent: answer(409, detail="later") if sent.call == "finalize" else whole(sent)
    with pytest.raises(Transient):
        await publishing.run()
    jobs = len(publishing.calls("jobs/batch"))
    publishing.intercept = whole
    progress = await publishing.run()
    assert (progress.state, progress.hash, len(finalized)) == (State.DONE, "e" * 64, 1)
    assert len(publishing.calls("jobs/batch")) == jobs


async def test_a_binding_that_comes_out_under_another_hash_is_a_failure(publishing: Publishing) -> None:
    whole = prepared("e" * 64, remembered_by=[])
    publishing.intercept = lambda sent: answer(200, hash="f" * 64) if sent.call == "finalize" else whole(sent)
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "receipt")
    assert "had prepared eeee" in progress.detail


async def test_what_is_not_prepared_is_not_finalized(publishing: Publishing) -> None:
    hashes = ["e" * 64]
    publishing.intercept = instead(
        "jobs/batch", lambda: answer(200, already_registered_session_hashes=hashes, existing_binding_prepared=False)
    )
    assert (await publishing.run()).state is State.DONE
    assert not publishing.calls("finalize")


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_an_anonymous_publish_goes_the_older_way_where_sessions_are_advertised_and_missing(
    folder: StateFolder, status: int
) -> None:
    publishing = Publishing(folder, LINEAGE)
    publishing.intercept = instead("registration-sessions", lambda: answer(status, detail="Endpoint not found"))
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, LINEAGE.hash)
    assert publishing.events() == ["probed", "selected", "no-staging", "fell-back"]
    assert publishing.published() == publishing.expected()
