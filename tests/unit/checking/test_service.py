"""A whole verification: how it ends if objects cannot be found, and how fast it reads them."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Never

import anyio
import pytest
from blake3 import blake3

from roar_publisher.checking import service
from roar_publisher.checking.locating import LocatedObjects
from roar_publisher.checking.service import ObjectOrder, VerifyOrder, verify
from roar_publisher.exit_codes import ExitCode
from roar_publisher.glaas.client import Refused
from roar_publisher.inspection.findings import Inspected
from roar_publisher.inspection.subjects import Subject
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.pace import Pace
from roar_publisher.state.errors import PublisherError, Transient
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NAMED_BY, NamedBy
from roar_publisher.storage.ranges import RANGE_BYTES
from roar_publisher.storage.readable import ReadableStore, StoredObject
from roar_publisher.verification.errors import CannotCheck

INTENT = {NAMED_BY: NamedBy.OPTION.value}
CONTENT = bytes(RANGE_BYTES + 1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (Refused("not yours", status=403), Reason.AUTH),
        (Refused("not now", status=400), Reason.REJECTED),
        (Transient("away"), Reason.OFFLINE),
    ],
)
async def test_a_registry_that_does_not_say_where_objects_are_proves_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: PublisherError, reason: Reason
) -> None:
    async def proven(*_: object) -> SimpleNamespace:
        return SimpleNamespace(proven=True)

    async def subjects(*_: object) -> Never:
        raise problem

    monkeypatch.setattr(service, "verify_lineage", proven)
    monkeypatch.setattr(LocatedObjects, "subjects", subjects)
    order = VerifyOrder("ab" * 32, "https://registry.example.org", INTENT, objects=ObjectOrder())
    with pytest.raises(CannotCheck) as caught:
        await verify(order, StateFolder(tmp_path), anyio.Event())
    assert caught.value.reason is reason


@pytest.mark.anyio
@pytest.mark.parametrize("plant", ["no state folder", "no record"])
async def test_a_record_that_cannot_be_kept_stops_no_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    """A container may have a read-only root, and the record only saves work."""
    stored, root = tmp_path / "stored", Path("/dev/null/state")
    stored.write_bytes(b"x")
    if plant == "no record":
        root = tmp_path / "state"
        StateFolder(root).inspections.mkdir(parents=True)
        root.chmod(0o700)

    async def proven(*_: object) -> SimpleNamespace:
        return SimpleNamespace(proven=True)

    async def subjects(*_: object) -> tuple[list[Subject], list[Inspected]]:
        return [Subject(stored.as_uri(), blake3(b"x").hexdigest())], []

    monkeypatch.setattr(service, "verify_lineage", proven)
    monkeypatch.setattr(LocatedObjects, "subjects", subjects)
    order = VerifyOrder("ab" * 32, "https://registry.example.org", INTENT, objects=ObjectOrder())
    verified = await verify(order, StateFolder(root), anyio.Event())
    assert verified.exit_code is ExitCode.PUBLISHED


class Networked(ReadableStore):
    """An object that arrives over a network whose rate is limited."""

    def __init__(self, budget: UploadBudget) -> None:
        self.budget = budget

    async def look(self, key: str) -> StoredObject:
        return StoredObject(len(CONTENT), "", tag="1")

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        assert self.budget.pace is not None
        await self.budget.pace.wait(length)
        return CONTENT[offset : offset + length]


@pytest.mark.anyio
async def test_no_limit_of_the_rate_counts_a_byte_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counter[int]()

    async def wait(pace: Pace, size: int) -> None:
        counted[id(pace)] += size

    async def opened(_place: str, *, budget: UploadBudget, **_options: object) -> ReadableStore:
        return Networked(budget)

    async def proven(*_: object) -> SimpleNamespace:
        return SimpleNamespace(proven=True)

    async def subjects(*_: object) -> tuple[list[Subject], list[Inspected]]:
        return [Subject("s3://bucket/x", blake3(CONTENT).hexdigest())], []

    monkeypatch.setattr(service, "verify_lineage", proven)
    monkeypatch.setattr(service, "open_readable", opened)
    monkeypatch.setattr(LocatedObjects, "subjects", subjects)
    monkeypatch.setattr(Pace, "wait", wait)
    objects = ObjectOrder(full=True, limits=TransferLimits(limit_rate=10**6))
    order = VerifyOrder("ab" * 32, "https://registry.example.org", INTENT, objects=objects)
    verified = await verify(order, StateFolder(tmp_path), anyio.Event())
    assert verified.exit_code is ExitCode.PUBLISHED
    assert set(counted.values()) == {len(CONTENT)}
