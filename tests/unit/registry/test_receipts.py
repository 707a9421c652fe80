"""The registry's receipts: what it signs, for whom, and the key that it signs with."""

import errno
import json
import stat
import tarfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from roar_publisher.cli.registry.command import registry as command
from roar_publisher.glaas.envelope import ReceiptEnvelope
from roar_publisher.lineage.statement import Statement, read_statement
from roar_publisher.registry.accounts.signin_file import ADDRESS
from roar_publisher.registry.backup import make_backup, restore_backup
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import receipts
from roar_publisher.registry.receipt_keys import RECEIPT_KEYS_NAME, ReceiptKeys
from roar_publisher.registry.store.canonical_texts import texts_of_lineage
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.private_data import LINEAGES_NAME
from roar_publisher.state.errors import LocalProblem
from tests.support.registry.harness import Json, Registry, artifact, digest, job, link, make_registry, succeeded
from tests.support.registry.people import Bearer
from tests.support.state.syncing import refuse_to_sync_folders

pytestmark = pytest.mark.anyio
PRIVATE = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}


async def receipt(registry: Registry, lineage_hash: str) -> tuple[Statement, ReceiptEnvelope]:
    """A receipt whose signature is that of the key beside it."""
    reply = succeeded(await registry.client.get(f"/api/v1/sessions/{lineage_hash}/receipt"))
    envelope = ReceiptEnvelope.of_document(reply["envelope"])
    (signature,) = envelope.signatures
    assert signature.is_made_by(reply["key"], envelope.signed_bytes)
    return read_statement(envelope.payload), envelope


async def published(registry: Registry) -> Json:
    session = await registry.open()
    await session.add_jobs(job(1), job(2, job_type="put", metadata='{"rate": 2.0, "name": "é"}'))
    await session.add_artifacts(artifact(11), {**artifact(3), "hashes": [{"algorithm": "md5", "digest": digest(3)}]})
    await session.add_links(1, "inputs", link(10))
    await session.add_links(1, "outputs", link(11, "b"), link(11, "a"), link(12))
    await session.add_links(2, "inputs", link(3))
    return await session.finalize()


async def test_a_receipt_states_what_was_finalized(registry: Registry) -> None:
    reply = await published(registry)
    statement, envelope = await receipt(registry, reply["hash"])
    facts = statement.facts
    assert (facts.hash, facts.publisher, facts.published_at) == (reply["hash"], "anonymous", "2027-01-15T08:00:00Z")
    assert {"jobs": facts.jobs, "inputs": facts.inputs, "outputs": facts.outputs} == {
        name: reply["staged_counts"][name] for name in ("jobs", "inputs", "outputs")
    }
    assert statement.lists_jobs, "its hash was computed from its jobs"
    named = {digest(11): "a", digest(12): "/home/dev/file12", digest(3): "/home/dev/file3"}
    assert statement.subjects == {facts.hash: "lineage"} | named
    assert {"md5": digest(3)} in [each["digest"] for each in json.loads(envelope.payload)["subject"]]
    registry.clock.now += 1000
    assert (await receipt(registry, reply["hash"]))[1] == envelope, "it is the same at any time"


async def test_a_large_lineage_is_stated_by_its_hash(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage_hash = (await published(registry))["hash"]
    read: list[int] = []

    def texts(connection: Connection, graph_id: int) -> Iterator[str]:
        read.append(graph_id)
        return texts_of_lineage(connection, graph_id)

    monkeypatch.setattr(receipts, "texts_of_lineage", texts)
    for bound, of_sizes in ((250, 10**6), (500, 100), (500, 10**6)):  # by counts, by stored sizes, by texts
        monkeypatch.setattr(receipts, "LISTED_BYTES", of_sizes)
        monkeypatch.setattr("roar_publisher.lineage.statement.LISTED_BYTES", bound)
        statement, _ = await receipt(registry, lineage_hash)
        assert (statement.lists_jobs, set(statement.subjects)) == (False, {lineage_hash})
    assert len(read) == 1, "what is too large is not read"


async def test_a_private_lineage_has_a_receipt_for_its_readers_alone(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    session = await registry.open(auth=Bearer(alice))
    await session.add_jobs(job(1))
    path = f"/api/v1/sessions/{(await session.finalize(scope_request=PRIVATE))['hash']}/receipt"
    assert (await registry.client.get(path, auth=Bearer(alice))).status_code == 200
    assert (await registry.client.get(path, auth=Bearer(bob))).status_code == 404
    assert (await registry.client.get(path)).status_code == 404


async def test_what_was_not_finalized_here_is_not_signed(registry: Registry) -> None:
    legacy = "a" * 64
    succeeded(await registry.client.post("/api/v1/sessions", json={"hash": legacy, "git_repo": None}))
    reply = await registry.client.get(f"/api/v1/sessions/{legacy}/receipt")
    assert (reply.status_code, reply.json()["detail"]) == (
        409,
        "this lineage was not finalized here: there is nothing to sign",
    )


async def test_the_keys_are_served_the_current_one_first(registry: Registry) -> None:
    lineage_hash = (await published(registry))["hash"]
    first, before = await receipt(registry, lineage_hash)
    registry.store.receipt_keys.rotate()
    second, after = await receipt(registry, lineage_hash)
    assert (first, before.payload) == (second, after.payload)
    keys = succeeded(await registry.client.get("/api/v1/receipt-keys"))["keys"]
    assert [each["keyid"] for each in keys] == [after.signatures[0].keyid, before.signatures[0].keyid]
    assert [each["current"] for each in keys] == [True, False]
    for key, envelope in zip(keys, (after, before), strict=True):
        assert envelope.signatures[0].is_made_by(key["public"], envelope.signed_bytes)


async def test_a_key_that_cannot_be_used_makes_no_receipt_and_stops_nothing(anyio_backend: str, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data")
    try:
        registry = make_registry(store)
        lineage_hash = (await published(registry))["hash"]
        path = tmp_path / "data" / RECEIPT_KEYS_NAME
        assert not path.exists(), "the key is made when it is needed"
        await receipt(registry, lineage_hash)
        good = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        other = json.loads(good)
        other["public"] = [ReceiptKeys(None).all()[0].public]
        for damage in (b"", b"{}", good[:-40], json.dumps(other).encode(), b'{"private": 1, "public": [2]}'):
            path.write_bytes(damage)
            reply = await registry.client.get(f"/api/v1/sessions/{lineage_hash}/receipt")
            assert (reply.status_code, "own key cannot be used" in reply.json()["detail"]) == (501, True)
        assert (await registry.client.get("/api/v1/receipt-keys")).status_code == 501
        path.write_bytes(good)
        await receipt(registry, lineage_hash)
    finally:
        store.close()


def test_commands_show_and_rotate_the_key_of_a_registry(tmp_path: Path) -> None:
    def works(*arguments: str) -> str:
        result = CliRunner().invoke(command, ["key", *arguments, "--data", str(tmp_path / "data")])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    result = CliRunner().invoke(command, ["key", "show", "--data", str(tmp_path / "data")])
    assert isinstance(result.exception, LocalProblem)
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").mkdir(mode=0o700)
    first = works("show")
    assert first == works("show")
    assert first.endswith(" current\n")
    (tmp_path / "data" / ADDRESS).write_text("https://registry.example")
    rotated = works("rotate")
    assert rotated.endswith(": roar registry trust https://registry.example --receipt-keys\n")
    keyid = rotated.split()[0]
    shown = json.loads(works("show", "--json"))
    assert (shown[0]["keyid"], [each["current"] for each in shown]) == (keyid, [True, False])
    assert works("show").splitlines()[1] == first.replace("current", "retired").strip()


@pytest.mark.parametrize(("code", "kept"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_nothing_is_signed_with_a_key_that_a_loss_of_power_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kept: bool
) -> None:
    """Publishers pin it at first sight. CIFS and others, which answer EINVAL, cannot do more."""
    refuse_to_sync_folders(monkeypatch, code)
    with nullcontext() if kept else pytest.raises(OSError, match="Input/output error"):
        ReceiptKeys(tmp_path).sign(b"statement")


def test_a_backup_brings_the_key_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = Store.open(data)
    key = store.receipt_keys.all()[0]
    for file in ("with.tar", "without.tar"):
        make_backup(data, tmp_path / file, store.copy_to)
        (data / RECEIPT_KEYS_NAME).unlink(missing_ok=True)
    store.close()
    with tarfile.open(tmp_path / "without.tar") as archive:
        assert RECEIPT_KEYS_NAME not in archive.getnames()
    for file in ("with.tar", "without.tar"):
        restore_backup(tmp_path / file, tmp_path / file.removesuffix(".tar"), force=False)
        assert (tmp_path / file.removesuffix(".tar") / LINEAGES_NAME).exists()
    assert ReceiptKeys(tmp_path / "with").all() == [key]
    assert ReceiptKeys(tmp_path / "without").all() != [key]
