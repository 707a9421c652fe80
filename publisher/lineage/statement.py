"""The statement of a receipt: what was published, as an in-toto statement (`docs/receipts.md`).

Subjects are the lineage itself, by its hash, then every output and every object of a put, by digest. The predicate
says who published it where and when, and lists its jobs as SLSA provenance: all of that follows from the lineage hash,
so a reader computes the hash from the jobs again. Of a large lineage (`LISTED_BYTES`) it has the hash and the counts.

Pure functions: the registry and the client compose the same bytes from the same lineage.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from roar_publisher.glaas.envelope import InvalidReceipt
from roar_publisher.lineage.canonical import CANONICAL_VERSION, LineageHasher

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:roar:receipt:v1"
BUILD_TYPE = "urn:roar:job:v1"
LISTED_BYTES = 512 * 1024
"""Jobs are listed if their canonical texts together have at most this size."""
SMALLEST_TEXT, SMALLEST_LINK = 100, 20
"""Characters that the canonical text of a job and of a link have at least."""
LINEAGE_NAME = "lineage"
PUT = "put"
DEFAULT_ALGORITHM = "blake3"
"""The algorithm of a digest of which no other is known (`protocol.md §7`)."""
ALGORITHM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_/-]{0,31}")
_PARAMETERS = ("command", "job_type", "step_number", "parent_step_number", "metadata")

AlgorithmOf = Callable[[str], str]
"""Returns the algorithm of a digest."""
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class PublishedFacts(Struct, frozen=True, kw_only=True):
    """What a receipt says about a lineage besides its jobs.

    publisher: the identity that the hash names. registry: its origin. published_at: UTC, ISO 8601. Links are counted
    as distinct digests of each job and kind.
    """

    hash: str
    publisher: str
    registry: str
    published_at: str
    git_repo: str | None
    git_commit: str | None
    git_branch: str | None
    jobs: int
    inputs: int
    outputs: int


class Statement(Struct, frozen=True):
    """A statement that does not contradict itself.

    subjects: names by digest. lists_jobs: whether the hash was computed from its jobs.
    """

    facts: PublishedFacts
    subjects: Mapping[str, str]
    lists_jobs: bool


def time_text(seconds: float) -> str:
    """Return Unix seconds as a receipt writes them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def may_be_listed(facts: PublishedFacts) -> bool:
    """Return whether the jobs can be small enough to be listed, judging by their counts."""
    return facts.jobs * SMALLEST_TEXT + (facts.inputs + facts.outputs) * SMALLEST_LINK <= LISTED_BYTES


def listed(texts: Iterable[str]) -> list[str] | None:
    """Return the canonical texts if they are to be listed; None as soon as they are too large."""
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text)
        if size > LISTED_BYTES:
            return None
    return found


def compose(facts: PublishedFacts, texts: list[str] | None, algorithm_of: AlgorithmOf) -> bytes:
    """Return the statement as JSON.

    texts: the canonical texts of all jobs in the order of the hash, or None to list none. Texts that do not lead to the
    hash are not listed: they are those of another redaction. Nor are those that are nested too deeply.
    """
    if texts is not None and _hash_of(facts, texts) == facts.hash:
        with suppress(RecursionError):
            return _composed(facts, [json.loads(text) for text in texts], algorithm_of)
    return _composed(facts, None, algorithm_of)


def _composed(facts: PublishedFacts, jobs: list[dict[str, Any]] | None, algorithm_of: AlgorithmOf) -> bytes:
    predicate: dict[str, Any] = {
        "lineage": {
            "hash": facts.hash,
            "canonicalVersion": CANONICAL_VERSION,
            "git": {"repo": facts.git_repo, "commit": facts.git_commit, "branch": facts.git_branch},
            "counts": {"jobs": facts.jobs, "inputs": facts.inputs, "outputs": facts.outputs},
        },
        "publisher": facts.publisher,
        "registry": facts.registry,
        "publishedAt": facts.published_at,
    }
    subjects = [{"name": LINEAGE_NAME, "digest": {"sha256": facts.hash}}]
    if jobs is not None:
        predicate["jobs"] = [_provenance(job, facts, algorithm_of) for job in jobs]
        products = sorted(_products(jobs).items())
        subjects += (_resource(digest, path, algorithm_of) for digest, path in products)
    statement = {"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": PREDICATE_TYPE, "predicate": predicate}
    return _encode(statement).encode("ascii")


def read_statement(payload: bytes) -> Statement:
    """Read a statement, and compute its hash from the jobs that it lists.

    Raises InvalidReceipt if it is not one, or if its parts contradict each other.
    """
    try:
        document = json.loads(payload, object_pairs_hook=_without_duplicates)
        if (document["_type"], document["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise InvalidReceipt("it states something else than a published lineage")
        predicate = document["predicate"]
        facts = _facts(predicate)
        subjects = {_digest(each): _text(each["name"]) for each in document["subject"]}
        wanted = {facts.hash: LINEAGE_NAME}
        if "jobs" in predicate:
            jobs = [_canonical(each) for each in predicate["jobs"]]
            if _hash_of(facts, map(_encode, jobs)) != facts.hash:
                raise InvalidReceipt("its jobs are not those of its lineage hash")
            counts = [len(jobs), *(sum(len(job[kind]) for job in jobs) for kind in ("inputs", "outputs"))]
            if counts != [facts.jobs, facts.inputs, facts.outputs]:
                raise InvalidReceipt("its counts are not those of its jobs")
            wanted |= _products(jobs)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidReceipt("its statement is not one that this release understands") from None
    if subjects != wanted:
        raise InvalidReceipt("its subjects are not the outputs of its lineage")
    return Statement(facts, subjects, "jobs" in predicate)


def _facts(predicate: dict[str, Any]) -> PublishedFacts:
    lineage = predicate["lineage"]
    if lineage["canonicalVersion"] != CANONICAL_VERSION:
        raise InvalidReceipt("its hash follows another version of the rules")
    git, counts = lineage["git"], lineage["counts"]
    repo, commit, branch = (None if git[name] is None else _text(git[name]) for name in ("repo", "commit", "branch"))
    return PublishedFacts(
        hash=_text(lineage["hash"]),
        publisher=_text(predicate["publisher"]),
        registry=_text(predicate["registry"]),
        published_at=_text(predicate["publishedAt"]),
        git_repo=repo,
        git_commit=commit,
        git_branch=branch,
        jobs=_number(counts["jobs"]),
        inputs=_number(counts["inputs"]),
        outputs=_number(counts["outputs"]),
    )


def _hash_of(facts: PublishedFacts, texts: Iterable[str]) -> str:
    hasher = LineageHasher(facts.git_repo, facts.git_commit, facts.git_branch, [facts.publisher])
    for text in texts:
        hasher.add(text)
    return hasher.digests()[facts.publisher]


def _products(jobs: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the smallest path of each output, and of each object that a put stored, by digest."""
    found: dict[str, str] = {}
    for job in jobs:
        for link in (*job["outputs"], *(job["inputs"] if job["job_type"] == PUT else ())):
            digest, path = link["hash"] or "", link["path"] or ""
            found[digest] = min(path, found.get(digest, path))
    return found


def _provenance(job: dict[str, Any], facts: PublishedFacts, algorithm_of: AlgorithmOf) -> dict[str, Any]:
    """Return a job as the predicate of SLSA provenance v1."""

    def resources(links: Iterable[dict[str, str | None]]) -> list[dict[str, Any]]:
        return [_resource(link["hash"] or "", link["path"] or "", algorithm_of) for link in links]

    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {name: job[name] for name in _PARAMETERS},
            "resolvedDependencies": resources(job["inputs"]),
        },
        "runDetails": {
            "builder": {"id": f"{facts.registry}#{facts.publisher}"},
            "byproducts": resources(job["outputs"]),
        },
    }


def _resource(digest: str, path: str, algorithm_of: AlgorithmOf) -> dict[str, Any]:
    """Return a resource descriptor. Strangers choose the algorithm, and it is repeated: a long one is not taken."""
    algorithm = algorithm_of(digest)
    return {"name": path, "digest": {algorithm if ALGORITHM.fullmatch(algorithm) else DEFAULT_ALGORITHM: digest}}


def _canonical(provenance: dict[str, Any]) -> dict[str, Any]:
    """Return the job in canonical form that `_provenance` was made of."""
    build, run = provenance["buildDefinition"], provenance["runDetails"]
    links = {"inputs": build["resolvedDependencies"], "outputs": run["byproducts"]}
    return {name: build["externalParameters"][name] for name in _PARAMETERS} | {
        kind: [{"hash": _digest(each) or None, "path": _text(each["name"]) or None} for each in found]
        for kind, found in links.items()
    }


def _digest(resource: dict[str, Any]) -> str:
    (digest,) = resource["digest"].values()
    return _text(digest)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a number")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found
