"""How a verification ends whose objects cannot be found."""

from pathlib import Path
from types import SimpleNamespace
from typing import Never

import anyio
import pytest

from roar_publisher.checking import service
from roar_publisher.checking.locating import LocatedObjects
from roar_publisher.checking.service import ObjectOrder, VerifyOrder, verify
from roar_publisher.glaas.client import Refused
from roar_publisher.state.errors import PublisherError, Transient
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NAMED_BY, NamedBy
from roar_publisher.verification.errors import CannotCheck


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
    intent = {NAMED_BY: NamedBy.OPTION.value}
    order = VerifyOrder("ab" * 32, "https://registry.example.org", intent, objects=ObjectOrder())
    with pytest.raises(CannotCheck) as caught:
        await verify(order, StateFolder(tmp_path), anyio.Event())
    assert caught.value.reason is reason
