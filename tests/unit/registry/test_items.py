"""Items of batches: the size that counts, and the text that is stored."""

import json
from contextlib import nullcontext

import pytest

from roar_publisher.glaas import wire
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
        wire.Job(job_uid="j", command="\x01" * 500),
        wire.Job(job_uid="j" * 256, command="c", metadata='"é😀' * 100, step_number=2**53, timestamp=-1.5e-300),
        wire.Artifact(hashes=[wire.Hash(algorithm='"' * 256, digest="\\" * 256)] * 9, size=1),
        wire.Artifact(hashes=[wire.Hash(algorithm="a", digest="d")], size=1, metadata={"k": [{"x": "y" * 999}]}),
    ],
)
def test_the_size_of_an_item_is_that_of_its_json(item: wire.Job | wire.Artifact, longer: int) -> None:
    limit = len(item.model_dump_json(exclude_unset=True)) - longer
    with pytest.raises(Refusal) if longer else nullcontext():
        check_item_sizes([item], 10**6, limit)


def test_hashes_are_stored_as_any_document_is() -> None:
    store = Store.in_memory()
    hashes = [wire.Hash(digest='"\\/', algorithm="b"), wire.Hash(algorithm="a~!", digest="&<>")]
    artifact = wire.Artifact.model_validate_json(json.dumps({"hashes": hashes, "size": 1}))
    store.write(lambda connection: staging.add_artifacts(connection, new_graph(connection), [artifact]))
    assert store.read(lambda connection: connection.execute("SELECT hashes FROM artifacts").fetchone()[0]) == (
        dump_document(hashes)
    )
