"""Receipts made by hand: of random lineages, signed by a registry's key and by a person's."""

import random
from dataclasses import dataclass
from pathlib import Path

from roar_publisher.auth.sshkey import SshSigner, load_signer
from roar_publisher.glaas.envelope import RECEIPT_NAMESPACE, ReceiptEnvelope, ReceiptSignature
from roar_publisher.lineage.canonical import canonical_job, sort_key
from roar_publisher.lineage.statement import DEFAULT_ALGORITHM, PublishedFacts, compose
from roar_publisher.registry.receipt_keys import ReceiptKeys
from roar_publisher.verification.receipts import TrustedKey, trusted_keys
from tests.support.auth.openssh import make_key, public_line
from tests.support.lineages import GIT, Lineage, SampleJob, cut, random_jobs

ORIGIN, PUBLISHER = "https://registry.example", "glaas:user:alice"


def canonical_texts(jobs: list[SampleJob]) -> list[str]:
    """The canonical texts of jobs, in the order of the hash."""
    steps = {job.uid: job.step for job in jobs}
    keys = []
    for job in jobs:
        text = canonical_job(
            command=job.item["command"],
            job_type="run",
            step_number=job.step,
            parent_step_number=steps[job.parent] if job.parent else None,
            inputs=job.inputs.items(),
            outputs=job.outputs.items(),
            metadata=job.metadata,
        )
        keys.append(sort_key(job.step, text))
    return [key[2] for key in sorted(keys)]


def facts_of(lineage: Lineage, **changes: object) -> PublishedFacts:
    """What a receipt of this lineage says besides its jobs."""
    facts: dict[str, object] = {
        "hash": lineage.hash_as(PUBLISHER),
        "publisher": PUBLISHER,
        "registry": ORIGIN,
        "published_at": "2026-01-02T03:04:05Z",
        "git_repo": GIT[0],
        "git_commit": GIT[1],
        "git_branch": GIT[2],
        "jobs": len(lineage.jobs),
        "inputs": lineage.inputs,
        "outputs": lineage.outputs,
    }
    return PublishedFacts(**(facts | changes))  # type: ignore[arg-type]


def statement_of(lineage: Lineage, **changes: object) -> bytes:
    """The statement of this lineage."""
    return compose(facts_of(lineage, **changes), canonical_texts(lineage.jobs), lambda digest: DEFAULT_ALGORITHM)


def sample_lineage(seed: int) -> Lineage:
    """A random lineage."""
    return cut(random_jobs(random.Random(seed)))


@dataclass
class Signers:
    """The two that sign receipts. key: the private file of the person's SSH key."""

    registry: ReceiptKeys
    person: SshSigner
    key: Path

    @classmethod
    async def made(cls, folder: Path, kind: str = "ed25519") -> "Signers":
        key = make_key(folder / f"key-{kind}", kind)
        return cls(ReceiptKeys(None), await load_signer(key, agent=None, ask=None), key)

    @property
    def trusted(self) -> dict[str, TrustedKey]:
        """What a person trusts who has met the registry and knows the person."""
        registry = TrustedKey(self.registry.all()[0].public, ORIGIN, (ORIGIN,))
        return trusted_keys([registry, TrustedKey(public_line(self.key), "a person")])

    def by_registry(self, payload: bytes) -> ReceiptEnvelope:
        envelope = ReceiptEnvelope(payload)
        return envelope.signed_also(self.registry.sign(envelope.signed_bytes)[0])

    async def by_person(self, envelope: ReceiptEnvelope, namespace: bytes = RECEIPT_NAMESPACE) -> ReceiptEnvelope:
        blob = await self.person.sshsig(envelope.signed_bytes, namespace)
        return envelope.signed_also(ReceiptSignature(self.person.keyid, blob))

    async def by_both(self, payload: bytes) -> ReceiptEnvelope:
        return await self.by_person(self.by_registry(payload))
