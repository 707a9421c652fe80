"""Items of batches: the size that counts, and the text that is stored."""

import json
from contextlib import nullcontext

import pytest
from msgspec import convert, to_builtins

from roar_publisher.glaas import batches
from roar_publisher.registry.api.bulk import check_item_sizes
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.store.documents import dump_document
from roar_publisher.registry.store.graphs import new_graph


@pytest.mark.parametrize("longer", [0, 1])
@pytest.mark.parametrize(
    "item",
    [
        batches.Job(job_uid="j", command="\x01" * 500),
        batches.Job(job_uid="j" * 256, command="c", metadata='"é😀' * 100, step_number=2**53, timestamp=-1.5e-300),
        batches.Artifact(hashes=[batches.Hash(algorithm='"' * 256, digest="\\" * 256)] * 9, size=1),
        batches.Artifact(hashes=[batches.Hash(algorithm="a", digest="d")], size=1, metadata={"k": [{"x": "y" * 999}]}),
    ],
)
def test_the_size_of_an_item_is_that_of_its_json(item: batches.Job | batches.Artifact, longer: int) -> None:
    given = {name: value for name, value in to_builtins(item).items() if value is not None}
    limit = len(json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()) - longer
    with pytest.raises(Refusal) if longer else nullcontext():
        check_item_sizes([item], 10**6, limit)


def test_hashes_are_stored_as_any_document_is() -> None:
    store = Store.in_memory()
    hashes = [{"digest": '"\\/', "algorithm": "b"}, {"algorithm": "a~!", "digest": "&<>"}]
    artifact = convert({"hashes": hashes, "size": 1}, batches.Artifact)
    store.write(lambda connection: staging.add_artifacts(connection, new_graph(connection), [artifact]))
    assert store.read(lambda connection: connection.execute("SELECT hashes FROM artifacts").fetchone()[0]) == (
        dump_document(hashes)
    )
