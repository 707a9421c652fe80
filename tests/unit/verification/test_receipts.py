"""Receipts without a network: valid ones are proven, and what was changed in any byte or field is not."""

import json
import random
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from msgspec.structs import replace
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.sshkey import load_signer
from roar_publisher.glaas.envelope import (
    LARGEST_RECEIPT_BYTES,
    InvalidReceipt,
    ReceiptEnvelope,
    ReceiptSignature,
)
from roar_publisher.glaas.signature import NAMESPACE, fingerprint
from roar_publisher.registry.receipt_keys import ReceiptKeys
from roar_publisher.verification.errors import CannotCheck
from roar_publisher.verification.receipts import Signer, TrustedKey, check_receipt, trusted_keys
from tests.support.auth.openssh import (
    KEY_TYPES,
    PASSPHRASE,
    add_to_agent,
    make_key,
    public_blob,
    public_line,
    running_agent,
    ssh_keygen_accepts,
    ssh_keygen_signs,
)
from tests.support.receipts import ORIGIN, Signers, sample_lineage, statement_of
from tests.support.sampling import SEED, sample

pytestmark = pytest.mark.anyio
RECEIPTS, MUTATIONS = 10, 1000


@pytest.fixture
async def signers(anyio_backend: str, tmp_path: Path) -> Signers:
    return await Signers.made(tmp_path)


async def receipts(signers: Signers) -> list[bytes]:
    """Receipts of random lineages, with both signatures."""
    return [(await signers.by_both(statement_of(sample_lineage(seed)))).as_bytes() for seed in range(RECEIPTS)]


async def test_a_receipt_is_proven_without_a_network(signers: Signers, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = await receipts(signers)
    monkeypatch.setattr(socket, "socket", None)
    for seed, content in enumerate(contents):
        checked = check_receipt(content, signers.trusted)
        lineage = sample_lineage(seed)
        outputs = {digest: path for job in lineage.jobs for digest, path in job.outputs.items()}
        assert checked.statement.subjects == {checked.statement.facts.hash: "lineage"} | outputs
        assert checked.statement.lists_jobs
        assert [signer.named for signer in checked.signers] == [ORIGIN, "a person"]


def changed_byte(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    other = rng.choice([each for each in (rng.randrange(256), content[place] ^ 1 << rng.randrange(8))])
    return content[:place] + bytes([other]) + content[place + 1 :]


def cut_or_grown(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return rng.choice([content[:place] + content[place + 1 :], content[:place] + b" " + content[place:]])


def changed_field(content: bytes, rng: random.Random) -> bytes:
    """Another value in a random place of the statement, whose JSON stays as it is written."""
    document = json.loads(content)
    statement = json.loads(b64decode(document["payload"]))
    _change(statement, rng)
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps(document | {"payload": b64encode(payload).decode()}, separators=(",", ":")).encode() + b"\n"


def changed_envelope(content: bytes, rng: random.Random) -> bytes:
    document = json.loads(content)
    _change(document, rng)
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _change(document: Any, rng: random.Random) -> None:
    """Change one leaf, remove one key, or add one."""
    while True:
        key = rng.choice(list(document) if isinstance(document, dict) else range(len(document)))
        inner = document[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.9:
            document = inner
            continue
        change = rng.choice(["value", "value", "add", "remove"]) if isinstance(document, dict) else "value"
        match change:
            case "add":
                document["another"] = 1
            case "remove":
                del document[key]
            case _:
                document[key] = _other(inner, rng)
        return


def _other(value: object, rng: random.Random) -> object:
    if isinstance(value, str) and value:
        place = rng.randrange(len(value))
        return value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
    return value + 1 if isinstance(value, int) else "other"


def proves(content: bytes, signers: Signers) -> bool:
    try:
        check_receipt(content, signers.trusted)
    except (InvalidReceipt, CannotCheck):
        return False
    return True


KINDS: list[Callable[[bytes, random.Random], bytes]] = [changed_byte, cut_or_grown, changed_field, changed_envelope]


async def test_any_changed_byte_or_field_is_noticed(signers: Signers) -> None:
    contents = await receipts(signers)
    cases = sample("receipts", range(MUTATIONS), 300)
    for case in cases:
        rng = random.Random(f"{SEED}/{case}")
        content = rng.choice(contents)
        mutated = KINDS[case % len(KINDS)](content, rng)
        if mutated == content:
            continue
        assert not proves(mutated, signers), f"case {case} of seed {SEED} is proven"


@pytest.mark.parametrize("kind", KEY_TYPES)
async def test_openssh_makes_and_accepts_the_publishers_signature(kind: str, tmp_path: Path) -> None:
    signers = await Signers.made(tmp_path, kind)
    envelope = await signers.by_person(ReceiptEnvelope(statement_of(sample_lineage(1))))
    (signature,) = envelope.signatures
    public, signed = public_line(signers.key), envelope.signed_bytes
    assert signature.keyid == fingerprint(public_blob(signers.key))
    assert ssh_keygen_accepts(public, signed, signature.sig, tmp_path, namespace="roar-receipt")
    assert not ssh_keygen_accepts(public, signed, signature.sig, tmp_path)
    theirs = ReceiptSignature(signature.keyid, ssh_keygen_signs(signers.key, signed, "roar-receipt"))
    for each in (signature, theirs):
        content = replace(envelope, signatures=(each,)).as_bytes()
        assert check_receipt(content, signers.trusted).signers == (Signer(signature.keyid, "a person"),)
        bad = bytearray(each.sig)
        bad[random.Random(SEED).randrange(len(bad))] ^= 4
        with pytest.raises((InvalidReceipt, CannotCheck)):
            check_receipt(replace(envelope, signatures=(replace(each, sig=bytes(bad)),)).as_bytes(), signers.trusted)


async def test_a_key_in_the_agent_signs(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519", passphrase=PASSPHRASE)
    with running_agent(tmp_path) as socket:
        add_to_agent(socket, key, tmp_path)
        signers = Signers(ReceiptKeys(None), await load_signer(key, agent=Agent(socket), ask=None), key)
        envelope = await signers.by_person(ReceiptEnvelope(statement_of(sample_lineage(1))))
    assert check_receipt(envelope.as_bytes(), signers.trusted).signers[0].named == "a person"
    sig = envelope.signatures[0].sig
    assert ssh_keygen_accepts(public_line(key), envelope.signed_bytes, sig, tmp_path, namespace="roar-receipt")


async def test_securesystemslib_reads_the_envelope_and_verifies_the_registrys_signature(signers: Signers) -> None:
    content = (await signers.by_both(statement_of(sample_lineage(2)))).as_bytes()
    key = signers.registry.all()[0]
    known = SSlibKey.from_crypto(load_ssh_public_key(key.public.encode()), keyid=key.keyid)
    envelope = Envelope.from_dict(json.loads(content))
    assert envelope.payload_type == "application/vnd.in-toto+json"
    assert envelope.pae() == ReceiptEnvelope.of_bytes(content).signed_bytes
    assert envelope.verify([known], 1) == {key.keyid: known}
    other = SSlibKey.from_crypto(load_ssh_public_key((await _another(signers)).public.encode()), keyid=key.keyid)
    with pytest.raises(VerificationError):
        envelope.verify([other], 1)
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([known], 1)


async def _another(signers: Signers) -> TrustedKey:
    signers.registry.rotate()
    return TrustedKey(signers.registry.all()[0].public, "another")


async def invalid(content: bytes, signers: Signers) -> str:
    with pytest.raises(InvalidReceipt) as caught:
        check_receipt(content, signers.trusted)
    return str(caught.value)


async def test_what_is_no_receipt_is_refused_with_a_reason(signers: Signers) -> None:
    good = (await signers.by_both(statement_of(sample_lineage(3)))).as_bytes()
    document = json.loads(good)
    one, two = document["signatures"]

    def written(**changes: object) -> bytes:
        return json.dumps(document | changes, separators=(",", ":")).encode() + b"\n"

    swapped = [one | {"sig": two["sig"]}, two | {"sig": one["sig"]}]
    nested = b'{"payload":' + b"[" * 200_000
    cases = {
        "does not fit": [written(signatures=each) for each in (swapped, swapped[:1], swapped[1:])],
        "several signatures": [written(signatures=[one, one]), written(signatures=[one] * 99)],
        "it has no signature": [written(signatures=[])],
        "larger than": [b" " * (LARGEST_RECEIPT_BYTES + 1)],
        "not JSON": [nested, b"", b"{}{}", good + good, good[:-2], b"\xff\xfe", b"[" * 100_000 + b"]" * 100_000],
        "not the signed envelope": [b"[]", b"7", written(payloadType="text/plain"), written(payload=7)],
        "no keyid": [written(signatures=[each]) for each in ({"sig": ""}, 7, one | {"sig": 1})],
        "names no key": [
            written(signatures=[one | {"keyid": name}]) for name in ("SHA256:x\nProven by", one["keyid"] + "=")
        ],
        "not base64": [written(payload="§"), written(signatures=[one | {"sig": "*"}])],
        "not written as": [
            good + b" ",
            b" " + good,
            good[:-1],
            written(more=1),
            good.replace(b'{"payload"', b'{"payload":"","payload"', 1),
            json.dumps(document).encode() + b"\n",
        ],
    }
    for reason, contents in cases.items():
        for content in contents:
            assert reason in await invalid(content, signers)


async def test_a_signature_for_another_purpose_is_none(signers: Signers) -> None:
    envelope = ReceiptEnvelope(statement_of(sample_lineage(4)))
    for namespace in (NAMESPACE, b"git", b"file"):
        assert "does not fit" in await invalid((await signers.by_person(envelope, namespace)).as_bytes(), signers)
    raw = ssh_keygen_signs(signers.key, envelope.payload, "roar-receipt")  # of the payload without its type
    content = replace(envelope, signatures=(ReceiptSignature(signers.person.keyid, raw),)).as_bytes()
    assert "does not fit" in await invalid(content, signers)


async def test_keys_that_nobody_named_prove_nothing(signers: Signers) -> None:
    payload = statement_of(sample_lineage(5))
    person = (await signers.by_person(ReceiptEnvelope(payload))).as_bytes()
    registry, both = signers.by_registry(payload).as_bytes(), (await signers.by_both(payload)).as_bytes()
    for content, what in ((person, "signature is valid, but"), (registry, "not named"), (both, "not named")):
        with pytest.raises(CannotCheck, match=what):
            check_receipt(content, {})
    only_registry = {keyid: key for keyid, key in signers.trusted.items() if key.origins}
    assert [each.named for each in check_receipt(both, only_registry).signers] == [ORIGIN, ""]
    only_person = {keyid: key for keyid, key in signers.trusted.items() if not key.origins}
    with pytest.raises(CannotCheck, match="not named"):
        check_receipt(both, only_person)


async def test_a_signature_is_of_the_key_that_it_names(signers: Signers) -> None:
    envelope = await signers.by_both(statement_of(sample_lineage(5)))
    keys = [signers.registry.all()[0].public, public_line(signers.key)]
    for each, key, other in zip(envelope.signatures, keys, reversed(keys), strict=True):
        assert each.is_made_by(key, envelope.signed_bytes)
        assert not each.is_made_by(other, envelope.signed_bytes)
        assert not replace(each, keyid="SHA256:other").is_made_by(key, envelope.signed_bytes)


async def test_a_broken_signature_of_a_key_that_nobody_named_is_noticed(signers: Signers) -> None:
    registry, person = (await signers.by_both(statement_of(sample_lineage(5)))).signatures
    broken = replace(person, sig=person.sig[:-1] + bytes([person.sig[-1] ^ 1]))
    content = ReceiptEnvelope(statement_of(sample_lineage(5)), (registry, broken)).as_bytes()
    only_registry = {keyid: key for keyid, key in signers.trusted.items() if key.origins}
    with pytest.raises(InvalidReceipt, match="does not fit"):
        check_receipt(content, only_registry)


async def test_a_registry_signs_for_itself_alone(signers: Signers) -> None:
    content = signers.by_registry(statement_of(sample_lineage(6), registry="https://other.example")).as_bytes()
    with pytest.raises(CannotCheck, match=r"from https://other\.example, but signed by .* only for https://registry"):
        check_receipt(content, signers.trusted)
    named = trusted_keys([TrustedKey(signers.registry.all()[0].public, "--key registry.pub")])
    assert check_receipt(content, named).statement.facts.registry == "https://other.example"


async def test_a_key_that_is_known_under_several_names_of_its_registry_signs_for_each(signers: Signers) -> None:
    """A registry got a new name, or another one lists a key that is not its own."""
    key = signers.registry.all()[0].public
    names = ("https://new.example", "https://old.example")
    content = signers.by_registry(statement_of(sample_lineage(6), registry=names[1])).as_bytes()
    for order in (names, names[::-1]):
        known = [TrustedKey(key, name, (name,)) for name in order]
        assert check_receipt(content, trusted_keys(known)).signers[0].named == order[0]
        for listed in ([*known, TrustedKey(key, "mine")], [TrustedKey(key, "mine"), *known]):
            assert check_receipt(content, trusted_keys(listed)).signers[0].named == "mine"
    with pytest.raises(CannotCheck):
        check_receipt(content, trusted_keys([TrustedKey(key, names[0], (names[0],))]))


@pytest.mark.parametrize(
    "registry", ["http://[x", "https://a.example/'; rm -rf ~", "https://user:word@a.example", "", "x"]
)
async def test_only_the_origin_of_a_registry_becomes_part_of_a_command(signers: Signers, registry: str) -> None:
    content = signers.by_registry(statement_of(sample_lineage(6), registry=registry)).as_bytes()
    with pytest.raises(CannotCheck, match="not named") as caught:
        check_receipt(content, {})
    assert caught.value.next_step == "--key FILE, with its public key"


async def test_a_rotated_key_stays_valid_where_it_is_known(signers: Signers) -> None:
    payload = statement_of(sample_lineage(7))
    before, trusted = signers.by_registry(payload), signers.trusted
    signers.registry.rotate()
    after = signers.by_registry(payload)
    assert before.payload == after.payload
    assert check_receipt(before.as_bytes(), trusted)
    with pytest.raises(CannotCheck, match="not named") as caught:
        check_receipt(after.as_bytes(), trusted)
    assert f"roar registry trust {ORIGIN} --receipt-keys" in caught.value.next_step
    assert [key.current for key in signers.registry.all()] == [True, False]
    assert trusted_keys([TrustedKey(key.public, "") for key in signers.registry.all()]).keys() >= trusted.keys() - {
        signers.person.keyid
    }
