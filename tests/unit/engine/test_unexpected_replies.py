"""Registries that mean "taken" or "refused" in other forms than ours: a whole publish against each of them."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from roar_publisher.report import Noted
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.units import Kind
from tests.support.engine.publishing import Publishing, Sent, answer, instead
from tests.support.lineages import Lineage, SampleJob, chain, cut

pytestmark = pytest.mark.anyio
LINEAGE = cut(chain(4), batch=lambda: 4)
NEEDED = ("registration_session_id", "registration_session_token", "hash", "features", "envelope", "key")
Rewrite = Callable[[Sent, dict[str, Any]], httpx2.Response]


@pytest.fixture
def publishing(folder: StateFolder) -> Publishing:
    return Publishing(folder, LINEAGE)


def enveloped(sent: Sent, body: dict[str, Any]) -> httpx2.Response:
    return answer(200, success=True, data=body)


def twice_enveloped(sent: Sent, body: dict[str, Any]) -> httpx2.Response:
    return answer(200, success=True, data={"data": body})


def terse(sent: Sent, body: dict[str, Any]) -> httpx2.Response:
    """Nothing but what cannot be done without."""
    known = {name: body[name] for name in NEEDED if name in body}
    if sent.call in ("inputs", "outputs", "labels/batch", "labels/sync", "jobs/batch", "artifacts/batch"):
        return httpx2.Response(204 if sent.number % 2 else 205)
    return answer(200, **known)


def null(sent: Sent, body: dict[str, Any]) -> httpx2.Response:
    """Null for every field that may be."""
    nulls = {name: value if name in NEEDED else None for name, value in body.items()}
    return httpx2.Response(201, json=nulls)


def positional(sent: Sent, body: dict[str, Any]) -> httpx2.Response:
    """`errors` and ids by position, as protocol.md says; texts for numbers."""
    if sent.call in ("jobs/batch", "artifacts/batch", "labels/batch", "inputs", "outputs"):
        (items,) = sent.document.values()
        numbers = {name: str(value) for name, value in body.items() if isinstance(value, int)}
        return answer(200, **body | numbers | {"errors": [None if n % 2 else "" for n in range(len(items))]})
    return httpx2.Response(200, json=body)


@pytest.mark.parametrize("staged", [True, False], ids=["staged", "legacy"])
@pytest.mark.parametrize("rewrite", [enveloped, twice_enveloped, terse, null, positional])
async def test_a_registry_with_other_forms_is_published_to(folder: StateFolder, rewrite: Rewrite, staged: bool) -> None:
    publishing = Publishing(folder, LINEAGE) if staged else Publishing(folder, LINEAGE, features=None)
    publishing.rewrite = rewrite
    progress = await publishing.run()
    assert (progress.state, progress.hash, progress.detail) == (State.DONE, LINEAGE.hash, "")
    assert publishing.published() == publishing.expected()


async def test_a_receipt_counts_without_an_address(publishing: Publishing) -> None:
    publishing.rewrite = lambda sent, body: httpx2.Response(200, json=body | {"url": "", "created": "yes"})
    progress = await publishing.run()
    assert (progress.state, progress.hash, progress.url) == (State.DONE, LINEAGE.hash, None)


# ---------------------------------------------------------------- refused, by name


@pytest.mark.parametrize("status", [200, 207, 400, 422])
@pytest.mark.parametrize(
    "reply",
    [
        {"errors": [None, "metadata is too deep"]},
        {"errors": [{"index": 1, "error": "metadata is too deep"}]},
        {"errors": {"1": {"message": "metadata is too deep"}}},
        {"success": False, "error": {"message": "1 of 3 failed", "errors": {"1": "metadata is too deep"}}},
        {"success": False, "data": {"errors": {"1": "metadata is too deep"}}, "message": "1 failed"},
        {"detail": [{"loc": ["body", "jobs", 1, "metadata"], "msg": "metadata is too deep", "type": "value"}]},
    ],
    ids=["by position", "by index", "by key", "in error", "in data", "validation"],
)
async def test_a_job_that_is_refused_is_named_with_its_step_and_the_reason(
    publishing: Publishing, status: int, reply: dict[str, Any]
) -> None:
    if status < 300 and "detail" in reply:
        reply = {"success": False} | reply

    def refuse(sent: Sent) -> httpx2.Response | None:
        if sent.call != "jobs/batch":
            return None
        length = len(sent.document["jobs"])
        errors = reply.get("errors")
        padded = errors + [None] * (length - len(errors)) if isinstance(errors, list) and errors[0] is None else errors
        return answer(status, **{"detail": "1 job failed"} | reply | ({"errors": padded} if "errors" in reply else {}))

    publishing.intercept = refuse
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "rejected")
    assert "did not accept 1 of the " in progress.detail
    assert "step 2 (python step2.py): metadata is too deep" in progress.detail


@pytest.mark.parametrize(
    ("call", "name", "words"),
    [
        ("jobs/batch", "jobs", "step 1 (python step1.py): no; step 2 (python step2.py): no"),
        ("artifacts/batch", "artifacts", "(data/"),
        ("inputs", "artifacts", "input data/"),
        ("outputs", "artifacts", "output data/"),
        ("artifacts/composites", "", "dataset "),
    ],
)
async def test_whatever_is_refused_is_named(publishing: Publishing, call: str, name: str, words: str) -> None:
    def refuse(sent: Sent) -> httpx2.Response | None:
        items = len(sent.document[name]) if name and sent.call == call else 1
        errors = ["no"] * min(items, 2) + [None] * (items - 2)
        return answer(200, errors=errors) if sent.call == call else None

    publishing.intercept = refuse
    progress = await publishing.run()
    assert progress.state is State.FAILED
    assert words in progress.detail, progress.detail
    assert progress.detail.endswith(": no"), progress.detail


async def test_more_refusals_than_fit_are_counted(folder: StateFolder) -> None:
    publishing = Publishing(folder, cut(chain(9), batch=lambda: 9))
    publishing.intercept = instead("jobs/batch", lambda: answer(200, errors=["no\x1b[2J"] * 9))
    progress = await publishing.run()
    assert "did not accept 9 of the 9 jobs that were sent: step 1 (python step1.py): no [2J; " in progress.detail
    assert progress.detail.endswith("; and 6 more")


async def test_a_number_of_refusals_is_said_as_it_is(publishing: Publishing) -> None:
    publishing.intercept = instead("artifacts/batch", lambda: answer(200, created=1, errors=2))
    progress = await publishing.run()
    assert progress.state is State.FAILED
    assert progress.detail.startswith("the registry did not accept 2 of the ")
    assert progress.detail.endswith(" artifacts that were sent")


async def test_labels_that_are_refused_one_by_one_are_owed_and_named(publishing: Publishing) -> None:
    def refuse_one(sent: Sent) -> httpx2.Response | None:
        if sent.call != "labels/batch":
            return None
        length = len(sent.document["labels"])
        return answer(200, created=length - 1, errors=[None, "unknown job", *[None] * (length - 2)])

    publishing.intercept = refuse_one
    progress = await publishing.run()
    assert progress.state is State.DONE
    assert "labels of step 2 (python step2.py): unknown job" in progress.detail
    assert any(
        isinstance(report, Noted) and "some labels are still to be sent" in report.text for report in publishing.reports
    )


# ---------------------------------------------------------------- too large


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("jobs/batch", "step 1 (python step1.py)"),
        ("artifacts/batch", "artifact "),
        ("artifacts/composites", "dataset "),
        ("inputs", "input data/"),
        ("outputs", "output data/"),
    ],
)
async def test_an_item_that_is_too_large_by_itself_is_named_with_its_size(
    publishing: Publishing, call: str, words: str
) -> None:
    publishing.intercept = instead(call, lambda: httpx2.Response(413, content=b"<html>too large</html>"))
    progress = await publishing.run()
    assert (progress.state, progress.reason) == (State.FAILED, "rejected")
    assert f"too large for the registry: {words}" in progress.detail, progress.detail
    assert " bytes" in progress.detail


async def test_a_long_command_is_shortened_and_the_size_is_that_of_the_item(folder: StateFolder) -> None:
    class Long(SampleJob):
        @property
        def item(self) -> dict[str, Any]:
            return super().item | {"command": "python " + "x" * 5000}

    jobs: list[SampleJob] = [Long("job1", 1)]
    lineage: Lineage = cut(jobs, labels=False)
    publishing = Publishing(folder, lineage)
    publishing.intercept = instead("jobs/batch", lambda: answer(413, detail="body too large"))
    progress = await publishing.run()
    (body,) = (unit.body for unit in lineage.units if unit.kind is Kind.JOBS)
    assert len(json.loads(body)) == 1
    assert f"step 1 (python {'x' * 52}…): {len(body):,} bytes" in progress.detail
