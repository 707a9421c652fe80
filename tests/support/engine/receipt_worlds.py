"""Worlds in which receipts are made, and what is there of them afterwards."""

from pathlib import Path

import httpx2
from msgspec.structs import asdict

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.receipt_keys import KnownReceiptKeys
from roar_publisher.report import Noted
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.record import Progress
from roar_publisher.verification.receipts import CheckedReceipt, TrustedKey, check_receipt, trusted_keys
from tests.support.auth.worlds import ALICE, FEATURES, World, key_of
from tests.support.faults.mortal import Crash, Life
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import chain, cut

LINEAGE = cut(chain(4), batch=lambda: 2)
ALICES_KEY = TrustedKey(" ".join(key_of(ALICE).export_public_key().decode().split()[:2]), ALICE)


def make_world(tmp_path: Path, *, key: bool = True, flag: Flag = Flag.PUBLIC) -> World:
    world = World(tmp_path, LINEAGE, flag)
    if key:
        world.make_key()
    return world


def without_receipts(path: str) -> httpx2.Response | None:
    """What a registry answers that signs none."""
    if not path.endswith("/health"):
        return None
    features = {"registration_sessions": asdict(FEATURES[0]), **FEATURES[1].advertised()}
    return httpx2.Response(200, json={"status": "healthy", "features": features})


def one_life(world: World, life: Life | None = None) -> Progress | PublisherError | Crash:
    ends: list[Progress | PublisherError | Crash] = []

    async def lived() -> None:
        ends.append(await world.live(life))

    run_virtually(lived, seed=1)
    return ends[0]


def live(world: World, life: Life | None = None) -> Progress:
    progress = one_life(world, life)
    assert isinstance(progress, Progress), progress
    return progress


def receipt_of(world: World) -> bytes | None:
    """The only file in the folder of receipts."""
    files = list(world.folder.receipts.glob("*")) if world.folder.receipts.exists() else []
    assert len(files) <= 1
    return files[0].read_bytes() if files else None


def checked(world: World) -> CheckedReceipt:
    """The receipt, proven with the pinned keys of registries and Alice's."""
    content = receipt_of(world)
    assert content is not None
    known = KnownReceiptKeys.from_environment({}, world.home).all()
    pinned = [TrustedKey(each.public, each.origin, (each.origin,)) for each in known]
    return check_receipt(content, trusted_keys([*pinned, ALICES_KEY]))


def notes(world: World) -> list[str]:
    """What was reported to the user about receipts."""
    texts = [report.text for report in world.reports if isinstance(report, Noted)]
    return [text for text in texts if "receipt" in text]
