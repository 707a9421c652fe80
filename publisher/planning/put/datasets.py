"""Make the composite artifacts of a put: one for every folder that is a dataset.

A dataset's digest is the blake3 of its members' paths and digests. A folder of several datasets becomes one dataset for
each, and one above them with these datasets as its members.
"""

import json
import mimetypes
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.blake3_hashers import blake3_hasher
from roar_publisher.lineage.artifacts import hash_entries
from roar_publisher.lineage.composites import NESTED, DatasetComponent, bloom_filter, composite_item
from roar_publisher.planning.put.dataset_detection import identifier_of
from roar_publisher.planning.put.dataset_layout import Layout, datasets_below, structure_of
from roar_publisher.planning.put.dataset_profile import dataset_profile
from roar_publisher.planning.put.record import Dataset
from roar_publisher.planning.put.request import Digested

ALGORITHM = "composite-blake3"
_DOMAIN = b"roar:blake3-tree:v1\n"
_MIN_MEMBERS = 2
"""The fewest files of a dataset."""
_NESTED_TYPE = "application/vnd.roar.composite"


class _Composite(Struct, frozen=True):
    """A dataset before it gets an id. leaves: the files in it; components: its members."""

    root: str
    components: tuple[DatasetComponent, ...]
    leaves: tuple[DatasetComponent, ...]

    @property
    def digest(self) -> str:
        lines = (f"{c.relative_path}\0{c.component_algorithm}:{c.component_digest}\n" for c in self.components)
        return blake3_hasher(_DOMAIN + "".join(lines).encode()).hexdigest()

    @property
    def size(self) -> int:
        return sum(component.component_size for component in self.components)


def datasets_in(
    digested: Sequence[Digested],
    identifiers: Sequence[Mapping[str, object]],
    *,
    declared: bool,
    source_type: str | None,
    artifact_id: Callable[[str], str],
) -> tuple[Dataset, ...]:
    """Return the datasets among the uploaded files, by folder, inner ones before the one around them.

    identifiers: as returned by `dataset_identifiers`.
    declared: whether every typed folder is a dataset.
    artifact_id: returns the id of the dataset with a digest.
    """
    datasets = []
    for root, members in sorted(_by_folder(digested).items(), key=lambda item: str(item[0])):
        leaves = [_leaf(one) for one in members]
        for composite in _composites(str(root), leaves, declared=declared):
            datasets.append(_dataset(composite, identifiers, source_type, artifact_id))
    return tuple(datasets)


def _by_folder(digested: Sequence[Digested]) -> dict[Path, list[Digested]]:
    """Return the files of every typed folder, and of each folder whose loose files have the structure of a dataset."""
    typed: dict[Path, list[Digested]] = {}
    loose: dict[Path, list[Digested]] = {}
    for one in digested:
        if one.source.root is not None:
            typed.setdefault(one.source.root, []).append(one)
        else:
            loose.setdefault(one.source.recorded.parent, []).append(one)
    structured = {
        folder: members
        for folder, members in loose.items()
        if len(members) >= _MIN_MEMBERS
        and structure_of([one.source.path.name for one in members]).layout is not Layout.UNSTRUCTURED
    }
    return structured | typed


def _leaf(one: Digested) -> DatasetComponent:
    path, relative = one.source.path, one.source.key.replace("\\", "/")
    if path.is_symlink():  # the link's text counts, not its target
        target = os.fsencode(os.readlink(path))
        return DatasetComponent(
            relative, "symlink", "blake3", blake3_hasher(target).hexdigest(), len(target), "inode/symlink"
        )
    return DatasetComponent(
        relative, "file", "blake3", one.content.blake3, one.content.size, mimetypes.guess_type(relative)[0]
    )


def _composites(root: str, leaves: list[DatasetComponent], *, declared: bool) -> list[_Composite]:
    inner: dict[str, list[DatasetComponent]] = {
        folder: [] for folder in datasets_below([leaf.relative_path for leaf in leaves])
    }
    for leaf in leaves:
        folder, _slash, rest = leaf.relative_path.partition("/")
        if folder in inner:
            inner[folder].append(replace(leaf, relative_path=rest))
    children = [(folder, _flat(f"{root}/{folder}", below)) for folder, below in inner.items()]
    if children:
        return [*(child for _folder, child in children), _nested(root, children)]
    flat = _flat(root, leaves)
    structure = structure_of([leaf.relative_path for leaf in flat.leaves])
    if len(flat.leaves) < _MIN_MEMBERS or (structure.layout is Layout.UNSTRUCTURED and not declared):
        return []
    return [flat]


def _flat(root: str, leaves: Sequence[DatasetComponent]) -> _Composite:
    identity = structure_of([leaf.relative_path for leaf in leaves]).identity
    members = sorted((leaf for leaf in leaves if leaf.relative_path in identity), key=_by_path)
    return _Composite(root, tuple(members), tuple(members))


def _nested(root: str, children: Sequence[tuple[str, _Composite]]) -> _Composite:
    members = [
        DatasetComponent(folder, NESTED, ALGORITHM, child.digest, child.size, _NESTED_TYPE)
        for folder, child in children
    ]
    leaves = [
        replace(leaf, relative_path=f"{folder}/{leaf.relative_path}")
        for folder, child in children
        for leaf in child.leaves
    ]
    return _Composite(root, tuple(sorted(members, key=_by_path)), tuple(leaves))


def _dataset(
    composite: _Composite,
    identifiers: Sequence[Mapping[str, object]],
    source_type: str | None,
    artifact_id: Callable[[str], str],
) -> Dataset:
    digest, total = composite.digest, len(composite.leaves)
    profile = dataset_profile(composite.components, total=total)
    about = identifier_of(composite.root, identifiers) | {"profile": profile}
    sent = json.dumps({"dataset": about}, separators=(",", ":"))
    index = bloom_filter(composite.leaves)
    entries = hash_entries(f"{ALGORITHM}:{digest}")
    item = composite_item(entries, composite.size, source_type, total, composite.components, index, sent)
    components_sent = item["components"]
    counts = {
        "root_path": composite.root,
        "component_count_total": total,
        "component_count_stored": len(composite.components),
    }
    return Dataset(
        artifact=artifact_id(digest),
        root=composite.root,
        digest=digest,
        size=composite.size,
        total=total,
        stored=len(components_sent),
        components=composite.components,
        index=index,
        sent=sent,
        kept=json.dumps({"composite": counts, "dataset": about}),
    )


def _by_path(component: DatasetComponent) -> bytes:
    return component.relative_path.encode()
