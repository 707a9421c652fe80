"""The statement of a finalized lineage's receipt (`lineage.statement`), made of the tables."""

import json
from http import HTTPStatus

from roar_publisher.lineage.statement import (
    DEFAULT_ALGORITHM,
    LISTED_BYTES,
    PublishedFacts,
    compose,
    listed,
    may_be_listed,
    time_text,
)
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.reading import lineage_by_prefix
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.artifacts import hashes_of
from roar_publisher.registry.store.canonical_texts import bytes_of_jobs, texts_of_lineage
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import graph_counts


def receipt_statement(connection: Connection, lineage_hash: str, reader: Reader, registry: str) -> bytes:
    """Return the statement of a lineage, the same for as long as its hash is served from `registry`, an origin.

    Raises `Refusal`: 404 and 409 as `lineage_by_prefix`; 409 also for a lineage of the legacy path, whose hash was not
    computed here.
    """
    lineage = lineage_by_prefix(connection, lineage_hash, reader)
    if lineage.session_id is None:
        raise Refusal(HTTPStatus.CONFLICT, "this lineage was not finalized here: there is nothing to sign")
    counts = graph_counts(connection, lineage.graph_id)
    facts = PublishedFacts(
        hash=lineage.hash,
        publisher=lineage.creator,
        registry=registry,
        published_at=time_text(lineage.published_at),
        git_repo=lineage.git_repo,
        git_commit=lineage.git_commit,
        git_branch=lineage.git_branch,
        jobs=counts["jobs"],
        inputs=counts["inputs"],
        outputs=counts["outputs"],
    )
    texts = _texts(connection, lineage.graph_id) if may_be_listed(facts) else None
    digests = {link["hash"] for text in texts or () for job in [json.loads(text)] for link in _links(job)}
    algorithms = _algorithms(connection, lineage.graph_id, sorted(filter(None, digests)))
    return compose(facts, texts, lambda digest: algorithms.get(digest, DEFAULT_ALGORITHM))


def _texts(connection: Connection, graph_id: int) -> list[str] | None:
    """Return the jobs that are to be listed; None, without reading them, if they are too large."""
    # The stored sizes are about those of the texts before they are escaped, which only makes them longer.
    too_large = bytes_of_jobs(connection, graph_id) > 2 * LISTED_BYTES
    return None if too_large else listed(texts_of_lineage(connection, graph_id))


def _links(job: dict[str, list[dict[str, str]]]) -> list[dict[str, str]]:
    return [*job["inputs"], *job["outputs"]]


def _algorithms(connection: Connection, graph_id: int, digests: list[str]) -> dict[str, str]:
    """Return the algorithms of the digests of which they are known."""
    found = {}
    for digest, hashes in hashes_of(connection, graph_id, digests):
        named = {each.get("digest"): each.get("algorithm") for each in json.loads(hashes)}
        if isinstance(algorithm := named.get(digest), str):
            found[digest] = algorithm
    return found
