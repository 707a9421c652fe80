"""Check the bodies of imported units against the shapes of the requests that a registry would be sent."""

import json
import zlib
from typing import Any

from pydantic import TypeAdapter

from roar_publisher.glaas.batches import Artifact, Job, Link
from roar_publisher.glaas.decoding import decode
from roar_publisher.glaas.wire import CompositeRequest, Label
from roar_publisher.net.documents import dump
from roar_publisher.state.units import Kind

BODY_LIMIT_BYTES = 32 * 1024 * 1024
RATIO_LIMIT = 300
"""How many times larger a body may be once it is inflated.

Lineage, which is full of digests, reaches 30; a long run of one value in the metadata, packed as `state.units` does,
reaches 230.
"""
RATIO_FREE_BYTES = 256 * 1024
"""A body up to this size may have any ratio."""
_MODELS: dict[Kind, TypeAdapter[Any]] = {
    Kind.COMPOSITE: TypeAdapter(list[CompositeRequest]),
    Kind.LABELS: TypeAdapter(list[Label]),
}
_STRUCTS: dict[Kind, Any] = {
    Kind.JOBS: list[Job],
    Kind.ARTIFACTS: list[Artifact],
    Kind.INPUTS: list[Link],
    Kind.OUTPUTS: list[Link],
}


def items_of(kind: Kind, packed: bytes) -> list[object]:
    """Return the items in a body as the journal stores it (compressed).

    Raises ValueError if the body is not one whole zlib stream, is too long, does not hold items of this kind, or is
    JSON in another notation than ours. A duplicate key, for example, could mean one thing here and another there.
    """
    body = _inflated(packed)
    model = _MODELS.get(kind)
    items: list[object] = decode(body, _STRUCTS[kind]) if model is None else model.validate_json(body, strict=True)
    if dump(json.loads(body)) != body:
        raise ValueError("not in our JSON notation")
    return items


def _inflated(packed: bytes) -> bytes:
    most = min(BODY_LIMIT_BYTES, max(RATIO_FREE_BYTES, RATIO_LIMIT * len(packed)))
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(packed, most)
    except zlib.error as error:
        raise ValueError("not compressed") from error
    if not stream.eof or stream.unconsumed_tail or stream.unused_data:
        raise ValueError("longer than a body may be, or not whole")
    return body
