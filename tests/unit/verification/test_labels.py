"""Labels read back: compared with a plan, in pages that are not kept."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import anyio
import httpx2
import pytest

from roar_publisher.glaas.client import ANONYMOUS
from roar_publisher.glaas.field_readers import Unreadable
from roar_publisher.registry.lineages import readback_labels
from roar_publisher.state.debts import Debt, DebtKind
from roar_publisher.state.machine import Event
from roar_publisher.state.reasons import Reason
from roar_publisher.verification import labels as checked_labels
from roar_publisher.verification.labels import LabelCheck, LabelPage, compare_labels
from roar_publisher.verification.planned import PlannedLineage
from tests.support.glaas.scripted import Calls, Script
from tests.support.registry.harness import Registry, Session, artifact, digest, job, succeeded, uid
from tests.support.sampling import sample
from tests.unit.verification.test_check import Proxy, counted_keys

pytestmark = pytest.mark.anyio
ARTIFACTS = 40
LABELS: list[dict[str, Any]] = [
    {"entity_type": "dag", "metadata": {"note": "all"}, "key_origins": {"note": "user"}},
    {"entity_type": "job", "job_uid": uid(1), "metadata": {"a": {"b": 1.5}}, "key_origins": {"a.b": "system"}},
    *(
        {
            "entity_type": "artifact",
            "artifact_hash": digest(n),
            "metadata": {"roar": {"distribution": {"url": f"s3://bucket/{n}"}}},
            "key_origins": {"roar.distribution.url": "system"},
        }
        for n in range(ARTIFACTS)
    ),
]


async def published(registry: Registry) -> tuple[Session, str]:
    """Publish a lineage with all LABELS."""
    session = await registry.open()
    await session.add_jobs(job(1))
    await session.add_artifacts(*(artifact(n) for n in range(ARTIFACTS)))
    lineage_hash = str((await session.finalize())["hash"])
    succeeded(await session.post("/labels/batch", {"labels": LABELS}))
    return session, lineage_hash


def planned(*owed: Debt) -> PlannedLineage:
    """A plan that sent LABELS on the legacy path, where jobs keep their names."""
    journal = SimpleNamespace(
        history=lambda: [SimpleNamespace(event=Event.FELL_BACK)],
        units=SimpleNamespace(bodies=lambda kind: iter([json.dumps(LABELS[:5]), json.dumps(LABELS[5:])])),
    )
    progress = SimpleNamespace(identity=None, owed=owed)
    return cast(
        PlannedLineage,
        SimpleNamespace(journal=journal, plan=SimpleNamespace(provisional={"anonymous": "a" * 64}), progress=progress),
    )


async def compared(proxy: httpx2.AsyncBaseTransport, lineage_hash: str, *owed: Debt) -> LabelCheck:
    calls = Calls(Script([]), transport=proxy, registry="http://registry", patience=0)
    return await compare_labels(calls.client, lineage_hash, ANONYMOUS, planned(*owed), served=True)


class Counting(Proxy):
    """Keeps what was asked for, and how many labels each reply holds."""

    def __init__(self, registry: Registry, alter: Callable[[bytes], bytes] = lambda body: body) -> None:
        super().__init__(registry, alter)
        self.sizes: list[int] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if request.url.path.endswith("readback/labels") and response.status_code == 200:
            self.sizes.append(len(response.json()["labels"]))
        return response


async def test_labels_as_planned_are_right_in_pages_of_any_size(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lineage_hash = await published(registry)
    for size, most in ((1, 1), (700, 9), (1024 * 1024, len(LABELS))):
        monkeypatch.setattr(readback_labels, "REPLY_BYTES", size)
        proxy = Counting(registry)
        assert await compared(proxy, lineage_hash) == LabelCheck(compared=len(LABELS))
        assert sum(proxy.sizes) == len(LABELS)
        assert max(proxy.sizes) <= most


async def test_no_label_is_kept_beyond_its_page(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the labels that are alive at once: a page of each side and a run of the sorting, however many there are."""
    monkeypatch.setattr(readback_labels, "REPLY_BYTES", 700)
    _, lineage_hash = await published(registry)
    kept = counted_keys(monkeypatch)
    await compared(Proxy(registry), lineage_hash)
    assert len(kept) == 2 * len(LABELS)
    assert max(kept) < 10


async def test_what_the_publisher_edited_is_no_difference(registry: Registry) -> None:
    session, lineage_hash = await published(registry)
    later = {**LABELS[3], "metadata": {"other": 1}, "key_origins": {}}
    more = {**LABELS[1], "metadata": {"a": {"b": 1.5, "c": 2}}}
    succeeded(await session.post("/labels/batch", {"labels": [later, more]}))
    assert await compared(Proxy(registry), lineage_hash) == LabelCheck(compared=len(LABELS), edited=1)


class Together(Proxy):
    """Answers no question for a history before three have come."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._asked = 0
        self._enough = anyio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/labels/history"):
            self._asked += 1
            if self._asked == 3:
                self._enough.set()
            await self._enough.wait()
        return await super().handle_async_request(request)


async def test_histories_are_asked_for_together(registry: Registry) -> None:
    session, lineage_hash = await published(registry)
    changed = [{**label, "metadata": {"other": 1}, "key_origins": {}} for label in LABELS[2:]]
    succeeded(await session.post("/labels/batch", {"labels": changed}))
    with anyio.fail_after(60):
        assert await compared(Together(registry), lineage_hash) == LabelCheck(len(LABELS), edited=ARTIFACTS)


@pytest.mark.parametrize("kind", [DebtKind.LABELS, DebtKind.REFUSED_LABELS])
async def test_labels_that_are_owed_are_not_compared(registry: Registry, kind: DebtKind) -> None:
    found = await compared(Proxy(registry), "a" * 64, Debt(kind, "away", Reason.OFFLINE))
    assert found == LabelCheck(why_not="they are still to be sent")


def _changed(page: dict[str, Any], seed: int) -> str:
    """Change one thing of a page of labels. Return the field that should be named."""
    target = page["labels"][seed % len(page["labels"])]
    match seed // len(page["labels"]) % 5:
        case 0:
            page["labels"].remove(target)
            return ""
        case 1:
            (name,) = target["key_origins"]
            target["key_origins"][name] = "mallory"
            return "label key_origins."
        case 2 if target["entity_type"] != "dag":
            name = "job_uid" if target["entity_type"] == "job" else "artifact_hash"
            target[name] = "f" + target[name][1:]
            return ""
        case 3:
            target["metadata"] = {f"x{key}": value for key, value in target["metadata"].items()}
            return "label metadata."
        case _:
            target["metadata"] = {}
            return "label metadata."


@pytest.mark.parametrize("seed", sorted({len(LABELS) - 1, *sample("changed labels", range(5 * len(LABELS)), 12)}))
async def test_a_changed_label_is_named(registry: Registry, seed: int) -> None:
    _, lineage_hash = await published(registry)
    expected: list[str] = []

    def alter(body: bytes) -> bytes:
        page = json.loads(body)
        if "labels" in page:
            expected.append(_changed(page, seed))
        return json.dumps(page).encode()

    found = await compared(Proxy(registry, alter), lineage_hash)
    assert found.differences
    assert len({each.job for each in found.differences}) == 1
    assert all(each.field.startswith(expected[0]) and each.ours != each.theirs for each in found.differences)


@pytest.mark.parametrize("kind", [[], {}, 7, None, "other"])
async def test_a_label_of_an_entity_of_any_shape_is_unreadable(kind: object) -> None:
    with pytest.raises(Unreadable):
        LabelPage.read({"labels": [{"entity_type": kind, "version": 1, "metadata": {}, "key_origins": {}}]})


class WithoutHistory(Proxy):
    """Says nothing useful of earlier versions."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/labels/history"):
            return httpx2.Response(200, json={"labels": 7})
        return await super().handle_async_request(request)


async def test_a_history_of_another_shape_has_no_versions(registry: Registry) -> None:
    session, lineage_hash = await published(registry)
    later = {**LABELS[3], "metadata": {"other": 1}, "key_origins": {}}
    succeeded(await session.post("/labels/batch", {"labels": [later]}))
    found = await compared(WithoutHistory(registry), lineage_hash)
    assert {each.job for each in found.differences} == {f"artifact {LABELS[3]['artifact_hash']}"}


async def test_most_differences_are_counted_only(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked_labels, "MOST_DIFFERENCES", 5)
    _, lineage_hash = await published(registry)
    proxy = Proxy(registry, lambda body: json.dumps(json.loads(body) | {"labels": [], "next": None}).encode())
    found = await compared(proxy, lineage_hash)
    assert 5 <= len(found.differences) <= 6
    assert found.omitted > ARTIFACTS - 5
