"""Dataset artifacts: one artifact that stands for many files, sent before everything else.

The body is what roar-cli sends to `…/artifacts/composites`: the components (at most 1,000, and no more than fit a
request) and a Bloom filter over all of them, with which the server finds members that were not sent.
"""

import base64
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.blake3_hashers import blake3_hasher
from roar_publisher.glaas.request_dicts import ComponentItem, CompositeItem, HashItem
from roar_publisher.lineage.artifacts import COMPOSITE_PREFIX, hash_entries, remote_source
from roar_publisher.lineage.batches import MAX_UNIT_BYTES
from roar_publisher.lineage.database import LINKED_ARTIFACTS, RoarDatabase, Row
from roar_publisher.lineage.jsontext import encode, parse_json
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

COMPONENTS_SENT = 1_000
COMPONENTS_READ = 5_000
# roar-cli measures a body that includes the session's hash: `"session_hash":"<64 digits>",`.
_SIZE_LIMIT = MAX_UNIT_BYTES - 82
_COMPONENT_ALGORITHMS = frozenset({"blake3", "sha256", "sha512", "md5", "composite-blake3", "composite-sha256"})
NESTED = "composite"
"""The kind of a component that is a dataset itself; the index covers the files in it."""

BLOOM_PREFIX = b"roar:composite-membership:v1\0"
BLOOM_FALSE_POSITIVES = 0.001
"""The false positive rate that the filter is sized for."""
BLOOM_LEAST_BITS = 2_048
BLOOM_MOST_HASHES = 12
BLOOM_VERSION = 1
BLOOM_FIELDS = ("bloom_filter_base64", "bloom_bits", "bloom_hashes", "bloom_version")

_COMPOSITES = f"""
SELECT a.id, lower(group_concat(h.algorithm || ':' || h.digest, ' ')), CAST(a.size AS INTEGER),
       CAST(a.source_type AS TEXT), a.component_count, CAST(a.metadata AS TEXT)
FROM artifacts a CROSS JOIN artifact_hashes h ON h.artifact_id = a.id
WHERE a.id IN ({LINKED_ARTIFACTS})
  AND (a.kind = 'composite'
    OR EXISTS (SELECT 1 FROM artifact_hashes c WHERE c.artifact_id = a.id AND c.algorithm LIKE 'composite-%'))
GROUP BY a.id ORDER BY a.id
"""
_COMPONENTS = """
SELECT CAST(c.relative_path AS TEXT), CAST(c.leaf_kind AS TEXT), CAST(c.component_algorithm AS TEXT),
       CAST(c.component_digest AS TEXT), c.component_size, CAST(c.component_type AS TEXT),
       (SELECT CAST(h.digest AS TEXT) FROM artifact_hashes h
        WHERE h.artifact_id = c.artifact_id AND h.algorithm = 'blake3')
FROM composite_artifact_components c WHERE c.composite_artifact_id = ? ORDER BY c.ordinal, c.id LIMIT ?
"""
_STORED_INDEX = """
SELECT CAST(total_components AS INTEGER), CAST(bloom_filter_base64 AS TEXT), CAST(bloom_bits AS INTEGER),
       CAST(bloom_hashes AS INTEGER), CAST(bloom_version AS INTEGER)
FROM composite_membership_indexes WHERE composite_artifact_id = ?
"""


class DatasetComponent(Struct, frozen=True):
    """One file of a dataset; the fields are named as in requests."""

    relative_path: str
    leaf_kind: str
    component_algorithm: str
    component_digest: str
    component_size: int
    component_type: str | None

    def item(self) -> ComponentItem:
        return {
            "relative_path": self.relative_path,
            "leaf_kind": self.leaf_kind,
            "component_algorithm": self.component_algorithm,
            "component_digest": self.component_digest,
            "component_size": self.component_size,
            "component_type": self.component_type,
        }


def composite_items(database: RoarDatabase, redactor: Redactor) -> Iterator[CompositeItem]:
    """Yield the body of every dataset artifact that the chosen jobs read or wrote, without a session hash.

    Raises LocalProblem for a dataset whose member index is incomplete, as roar-cli does.
    """
    for artifact, hashes, size, source_type, count, metadata in database.query(_COMPOSITES):
        entries = hash_entries(hashes)
        digests = [entry["digest"] for entry in entries if entry["algorithm"].startswith(COMPOSITE_PREFIX)]
        components = list(_components(database, artifact))
        stored_index = _stored_index(database, artifact)
        total = max(_int_or_zero(count), _int_or_zero(stored_index.get("total_components")), len(components))
        if not digests or total <= 0:
            continue
        text = _redacted(metadata, redactor) if metadata else None
        index = _index(digests[0], components, total, stored_index)
        sent = [_named_safely(component, redactor) for component in components]
        yield composite_item(entries, size or 0, remote_source(source_type), total, sent, index, text)


def composite_item(
    entries: list[HashItem],
    size: int,
    source_type: str | None,
    total: int,
    components: Sequence[DatasetComponent],
    index: dict[str, object],
    metadata: str | None,
) -> CompositeItem:
    """Return the body of a dataset, with as many of its components as may be sent.

    entries: its hashes, among them the composite one.
    total: the number of files in it.
    index: `bloom_filter` over all of them.
    """
    item: CompositeItem = {
        "hash": next(entry["digest"] for entry in entries if entry["algorithm"].startswith(COMPOSITE_PREFIX)),
        "hashes": entries,
        "size": max(0, size),
        "source_type": source_type,
        "component_count_total": total,
        "components": [component.item() for component in components],
        "membership_index": {"total_components": total, "stored_components": len(components)} | index,
    }
    if metadata is not None:
        item["metadata"] = metadata
    return _cut_to_fit(item)


def bloom_filter(components: Sequence[DatasetComponent]) -> dict[str, object]:
    """Return the Bloom filter over `algorithm:digest` of the components (at least one), as GLaaS tests it."""
    bits_each = -math.log(BLOOM_FALSE_POSITIVES) / math.log(2) ** 2
    bits = math.ceil(max(BLOOM_LEAST_BITS, math.ceil(len(components) * bits_each)) / 8) * 8
    hashes = min(BLOOM_MOST_HASHES, round(bits / len(components) * math.log(2)))
    field = bytearray(bits // 8)
    for component in components:
        name = f"{component.component_algorithm}:{component.component_digest}"
        seed = blake3_hasher(BLOOM_PREFIX + name.encode()).digest()
        first, step = int.from_bytes(seed[:8], "little"), int.from_bytes(seed[8:16], "little") or 1
        for number in range(hashes):
            bit = (first + number * step) % bits
            field[bit // 8] |= 1 << (bit % 8)
    encoded = base64.b64encode(field).decode("ascii")
    return dict(zip(BLOOM_FIELDS, (encoded, bits, hashes, BLOOM_VERSION), strict=True))


def _named_safely(component: DatasetComponent, redactor: Redactor) -> DatasetComponent:
    """Return the component without the secrets in its names."""
    path = redactor.text(component.relative_path)
    kind = component.component_type and redactor.text(component.component_type)
    if (path, kind) == (component.relative_path, component.component_type):
        return component
    return replace(component, relative_path=path, component_type=kind)


def _redacted(metadata: str, redactor: Redactor) -> str:
    """Return a dataset's metadata without its secrets.

    In its profile only the texts are checked, not the names they stand under, because a profile calls a partition's
    column its `key`.
    """
    value = parse_json(metadata)
    if value is None:
        return redactor.text(metadata)
    about = value.get("dataset") if isinstance(value, dict) else None
    if not isinstance(about, dict) or "profile" not in about:
        return encode(redactor.value(value))
    profile = {"profile": redactor.texts(about.pop("profile"))}
    redacted = redactor.value(value)
    assert isinstance(redacted, dict)
    return encode(redacted | {"dataset": redacted["dataset"] | profile})


def _components(database: RoarDatabase, artifact: str) -> Iterator[DatasetComponent]:
    """Yield the stored components, under the blake3 digest of the file if roar knows it."""
    for path, kind, algorithm, digest, size, media_type, blake3 in database.query(
        _COMPONENTS, artifact, COMPONENTS_READ
    ):
        name = "blake3" if blake3 else str(algorithm or "").strip().lower()
        if path and (blake3 or digest) and name in _COMPONENT_ALGORITHMS:
            yield DatasetComponent(
                path, kind or "file", name, (blake3 or digest).lower(), max(0, _int_or_zero(size)), media_type
            )


def _stored_index(database: RoarDatabase, artifact: str) -> Mapping[str, object]:
    names = ("total_components", *BLOOM_FIELDS)
    row: Row | None = database.one(_STORED_INDEX, artifact)
    return dict(zip(names, row, strict=True)) if row is not None else {}


def _index(
    digest: str, components: list[DatasetComponent], total: int, stored: Mapping[str, object]
) -> dict[str, object]:
    """Return the member index: computed if every component is known, otherwise the one that roar stored."""
    known = len(components) == total and all(component.leaf_kind != NESTED for component in components)
    bloom = bloom_filter(components) if known else {name: stored.get(name) for name in BLOOM_FIELDS}
    if None in bloom.values():
        raise LocalProblem(
            f"the dataset {digest[:12]} cannot be published: roar stored {len(components)} of its {total} components"
            " and no index of the rest",
            next_step="capture it again with `roar run`, or publish a target that does not use it",
            reason=Reason.INCOMPLETE_DATASET,
        )
    return bloom


def _cut_to_fit(item: CompositeItem) -> CompositeItem:
    """Return the item with as many components as may be stored and fit a request; the index covers all."""
    components, index = item["components"], item["membership_index"]

    def holding(count: int) -> CompositeItem:
        return {**item, "components": components[:count], "membership_index": index | {"stored_components": count}}

    most = min(len(components), COMPONENTS_SENT)
    if most == 0 or len(encode(holding(most))) <= _SIZE_LIMIT:
        return holding(most)
    fits = bisect_right(range(1, most), _SIZE_LIMIT, key=lambda count: len(encode(holding(count))))
    return holding(max(1, fits))


def _int_or_zero(value: object) -> int:
    return value if isinstance(value, int) else 0
