"""The receipt of a publish: made at finalize, once, whatever happens meanwhile, and of nothing but what was sent."""

import errno
import json
import sys
from base64 import b64decode
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.receipt_keys import KnownReceiptKeys
from roar_publisher.auth.sshkey import SshSigner
from roar_publisher.engine.journal import AsyncFiles
from roar_publisher.glaas.envelope import ReceiptEnvelope
from roar_publisher.glaas.signature import fingerprint
from roar_publisher.lineage.statement import PublishedFacts, compose, read_statement
from roar_publisher.registry.receipt_keys import ReceiptKeys
from roar_publisher.state.debts import DebtKind
from roar_publisher.state.errors import LocalProblem, NeedsUser
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.reasons import Reason
from tests.support.auth.worlds import ALICE, BY_BEARER, BY_KEY, key_of
from tests.support.engine.receipt_worlds import (
    LINEAGE,
    checked,
    live,
    make_world,
    notes,
    one_life,
    receipt_of,
    without_receipts,
)
from tests.support.faults.mortal import Crash, Life
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import GIT, REGISTRY
from tests.support.receipts import canonical_texts
from tests.support.sampling import sample


def test_registry_and_publisher_sign_what_was_published(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    progress = live(world)
    receipt = checked(world)
    facts = receipt.statement.facts
    assert (facts.hash, facts.publisher, facts.registry) == (progress.hash, BY_KEY, REGISTRY)
    assert receipt.statement.lists_jobs
    assert [signer.named for signer in receipt.signers] == [REGISTRY, ALICE]
    assert len(world.calls("/receipt")) == 1
    (path,) = world.folder.receipts.iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == (f"{progress.hash}.{world.paths.id}.json", 0o600)


def test_without_a_key_the_registry_signs(tmp_path: Path) -> None:
    world = make_world(tmp_path, key=False, flag=Flag.ANONYMOUS)
    live(world)
    assert [signer.named for signer in checked(world).signers] == [REGISTRY]
    assert [sent.scheme for sent in world.calls("/receipt")] == [""]


def test_the_registry_signs_a_private_lineage_for_its_owner(tmp_path: Path) -> None:
    world = make_world(tmp_path, key=False, flag=Flag.PRIVATE)

    async def signed_in() -> None:
        world.sign_in()

    run_virtually(signed_in, seed=1)
    live(world)
    receipt = checked(world)
    assert (receipt.statement.facts.publisher, [each.named for each in receipt.signers]) == (BY_BEARER, [REGISTRY])


def test_a_registry_that_signs_none_leaves_the_publishers_signature(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.instead = without_receipts
    progress = live(world)
    receipt = checked(world)
    assert ([each.named for each in receipt.signers], world.calls("/receipt")) == ([ALICE], [])
    facts = receipt.statement.facts
    assert (facts.hash, facts.publisher, facts.registry, facts.jobs) == (progress.hash, BY_KEY, REGISTRY, 4)
    assert receipt.statement.lists_jobs, "the hash follows from the jobs in the journal"
    assert notes(world) == []


def test_without_any_signature_there_is_no_receipt(tmp_path: Path) -> None:
    world = make_world(tmp_path, key=False, flag=Flag.ANONYMOUS)
    world.instead = without_receipts
    progress = live(world)
    assert (receipt_of(world), progress.owed) == (None, ())
    assert progress.receipt is not None, "what the registry replied is in the journal"


@pytest.mark.parametrize("registry_signs", [True, False])
def test_a_process_that_dies_at_any_moment_leaves_one_receipt(tmp_path: Path, registry_signs: bool) -> None:
    reference, life = make_world(tmp_path / "reference"), Life()
    reference.instead = (lambda path: None) if registry_signs else without_receipts
    live(reference, life)
    late = [number for number, what in enumerate(life.moments, 1) if "finalize" in what]
    for moment in sample(f"moments of receipts {registry_signs}", range(min(late), len(life.moments) + 1), 6):
        world = make_world(tmp_path / str(moment))
        world.instead = reference.instead
        assert isinstance(one_life(world, Life(moment)), Crash), life.moments[moment - 1]
        before = receipt_of(world)
        live(world)
        assert before in (None, receipt_of(world)), "a receipt that is there stays"
        assert len(checked(world).signers) == 1 + registry_signs


@pytest.mark.parametrize("written", [True, False])
def test_a_process_that_dies_around_writing_makes_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    contents: list[bytes] = []
    real = AsyncFiles.write_receipt

    async def dies(files: AsyncFiles, lineage_hash: str, content: bytes) -> None:
        contents.append(content)
        if written:
            await real(files, lineage_hash, content)
        raise Crash("around writing")

    world = make_world(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(AsyncFiles, "write_receipt", dies)
        assert isinstance(one_life(world), Crash)
    world.let_time_pass(1000)
    live(world)
    assert [receipt_of(world)] == contents
    assert len(world.calls("/receipt")) == (1 if written else 2), "a receipt that is there is not made again"


def test_the_users_own_statement_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(paths: PublishPaths, lineage_hash: str, content: bytes) -> None:
        contents.append(content)
        world.let_time_pass(1000)  # so that the checkpoints that follow are later ones
        raise LocalProblem("no room", reason=Reason.DISK)

    contents: list[bytes] = []
    world = make_world(tmp_path)
    world.instead = without_receipts
    with monkeypatch.context() as patch:
        patch.setattr(PublishPaths, "write_receipt", full)
        live(world)
    world.let_time_pass(1000)
    live(world)
    assert {receipt_of(world)} == set(contents)


def test_a_registry_that_is_away_leaves_a_debt_that_is_paid(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.instead = lambda path: httpx2.Response(503) if path.endswith("/receipt") else None
    progress = live(world)
    (debt,) = progress.owed
    assert (progress.state, debt.what, receipt_of(world)) == (State.DONE, DebtKind.RECEIPT, None)
    assert any("the receipt is still to be made" in note and "publish --resume" in note for note in notes(world))
    again = one_life(world)
    assert isinstance(again, LocalProblem)
    world.instead = lambda path: None
    assert live(world).owed == ()
    assert len(checked(world).signers) == 2


def test_a_key_that_does_not_sign_leaves_a_debt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path)
    real = SshSigner.sshsig

    async def locked(signer: SshSigner, payload: bytes, namespace: bytes) -> bytes:
        if namespace == b"roar-receipt":
            raise NeedsUser("the agent is locked", next_step="unlock it", reason=Reason.SSH_KEY)
        return await real(signer, payload, namespace)

    with monkeypatch.context() as patch:
        patch.setattr(SshSigner, "sshsig", locked)
        (debt,) = live(world).owed
    assert (debt.what, debt.reason, receipt_of(world)) == (DebtKind.RECEIPT, Reason.SSH_KEY, None)
    assert live(world).owed == ()
    assert len(checked(world).signers) == 2


def test_a_full_disk_leaves_a_debt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(paths: PublishPaths, lineage_hash: str, content: bytes) -> None:
        raise LocalProblem("no room", reason=Reason.DISK)

    world = make_world(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(PublishPaths, "write_receipt", full)
        (debt,) = live(world).owed
    assert (debt.what, debt.reason) == (DebtKind.RECEIPT, Reason.DISK)
    assert live(world).owed == ()


Lie = Callable[[PublishedFacts], PublishedFacts]
LIES: dict[str, tuple[Lie, str]] = {
    "another lineage": (lambda facts: replace(facts, hash="a" * 64), "that of another lineage"),
    "another registry": (lambda facts: replace(facts, registry="https://other.example"), "another registry"),
    "other counts": (lambda facts: replace(facts, jobs=5), "counts"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_statement_of_something_else_is_not_used(tmp_path: Path, name: str) -> None:
    lie, why = LIES[name]
    keys = ReceiptKeys(None)
    world = make_world(tmp_path)

    def lies(path: str) -> httpx2.Response | None:
        if not path.endswith("/receipt"):
            return None
        facts = PublishedFacts(
            hash=path.split("/")[-2],
            publisher=BY_KEY,
            registry=REGISTRY,
            published_at="2026-01-02T03:04:05Z",
            git_repo=GIT[0],
            git_commit=GIT[1],
            git_branch=GIT[2],
            jobs=len(LINEAGE.jobs),
            inputs=LINEAGE.inputs,
            outputs=LINEAGE.outputs,
        )
        return reply(ReceiptEnvelope(compose(lie(facts), None, lambda _: "blake3")), keys)

    world.instead = lies
    live(world)
    (note,) = notes(world)
    assert why in note
    assert "the registry's receipt is not used" in note
    assert [each.named for each in checked(world).signers] == [ALICE]
    assert KnownReceiptKeys.from_environment({}, world.home).all() == [], "the key of a lie is not believed"


def reply(envelope: ReceiptEnvelope, keys: ReceiptKeys) -> httpx2.Response:
    signature, public = keys.sign(envelope.signed_bytes)
    return httpx2.Response(200, json={"envelope": envelope.signed_also(signature).document(), "key": public})


def statement(world_hash: str) -> bytes:
    facts = PublishedFacts(
        hash=world_hash,
        publisher=BY_KEY,
        registry=REGISTRY,
        published_at="2026-01-02T03:04:05Z",
        git_repo=GIT[0],
        git_commit=GIT[1],
        git_branch=GIT[2],
        jobs=len(LINEAGE.jobs),
        inputs=LINEAGE.inputs,
        outputs=LINEAGE.outputs,
    )
    return compose(facts, canonical_texts(LINEAGE.jobs), lambda _: "blake3")


def _of_another_key(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"key": ReceiptKeys(None).all()[0].public}


def _unsigned(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"envelope": document["envelope"] | {"signatures": []}}


def _nothing(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"envelope": {}}


@pytest.mark.parametrize("spoil", [_of_another_key, _unsigned, _nothing])
def test_an_envelope_that_does_not_fit_is_not_used(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    world, keys = make_world(tmp_path), ReceiptKeys(None)

    def spoiled(path: str) -> httpx2.Response | None:
        if not path.endswith("/receipt"):
            return None
        good = json.loads(reply(ReceiptEnvelope(statement(path.split("/")[-2])), keys).content)
        return httpx2.Response(200, json=spoil(good))

    world.instead = spoiled
    live(world)
    assert any("the registry's receipt is not used" in note for note in notes(world))
    assert [each.named for each in checked(world).signers] == [ALICE]


def test_an_endpoint_that_is_gone_leaves_the_publishers_signature(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    gone = httpx2.Response(404, json={"detail": "Endpoint not found"})
    world.instead = lambda path: gone if path.endswith("/receipt") else None
    assert live(world).owed == ()
    assert [each.named for each in checked(world).signers] == [ALICE]


def test_the_users_own_statement_is_the_one_of_the_registry_but_for_the_time(tmp_path: Path) -> None:
    payloads = []
    for name, signs in (("with", True), ("without", False)):
        world = make_world(tmp_path / name)
        if not signs:
            world.instead = without_receipts
        live(world)
        document = json.loads(b64decode(json.loads(receipt_of(world) or b"")["payload"]))
        del document["predicate"]["publishedAt"]
        payloads.append(document)
    assert payloads[0] == payloads[1]


def test_a_key_that_cannot_be_remembered_does_not_cost_the_receipt(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    path = KnownReceiptKeys.from_environment({}, world.home).path
    path.mkdir(parents=True)
    assert live(world).owed == ()
    (note,) = notes(world)
    assert "is not remembered" in note
    path.rmdir()
    KnownReceiptKeys.from_environment({}, world.home).add(REGISTRY, world.store.receipt_keys.all()[0].public, 0.0)
    assert len(checked(world).signers) == 2


def test_another_key_of_a_known_registry_is_told_and_not_believed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    known = KnownReceiptKeys.from_environment({}, world.home)
    first = ReceiptKeys(None).all()[0]
    known.add(REGISTRY, first.public, 0.0)
    live(world)
    (note,) = notes(world)
    (now,) = (each for each in world.store.receipt_keys.all() if each.current)
    assert now.keyid in note
    assert f"roar registry trust {REGISTRY} --receipt-keys" in note
    assert known.of(REGISTRY) == {first.public}
    assert read_statement(ReceiptEnvelope.of_bytes(receipt_of(world) or b"").payload)
    assert fingerprint(key_of(ALICE).public_data) in (receipt_of(world) or b"").decode()


@pytest.mark.parametrize("error", [ImportError("libssl is missing"), OSError(errno.EMFILE, "Too many open files")])
def test_a_receipt_whose_modules_cannot_be_imported_is_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    world = make_world(tmp_path)
    name = "roar_publisher.engine.steps.receipt_file"

    class Broken(MetaPathFinder):
        def find_spec(self, fullname: str, *_: object) -> None:
            if fullname == name:
                raise error

    with monkeypatch.context() as patched:
        patched.delitem(sys.modules, name, raising=False)
        patched.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
        progress = live(world)
    assert progress.state is State.DONE
    assert [debt.what for debt in progress.owed] == [DebtKind.RECEIPT]
    assert live(world).owed == ()
    assert receipt_of(world) is not None
