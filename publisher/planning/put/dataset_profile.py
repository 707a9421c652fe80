"""Describe what the members of a dataset have in common; it is sent in the dataset's metadata.

Only names and sizes are read. The names of formats and kinds are roar-cli's.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import PurePosixPath

from roar_publisher.lineage.composites import DatasetComponent
from roar_publisher.planning.put.dataset_detection import SPLITS

PROFILE_VERSION = 1
_FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "json",
    ".lance": "lance",
    ".tfrecord": "tfrecord",
    ".orc": "orc",
    ".avro": "avro",
    ".txt": "txt",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".bmp": "bmp",
    ".webp": "webp",
}
_MODALITIES = {
    "tabular": ("parquet", "csv", "tsv", "jsonl", "lance", "tfrecord", "orc", "avro"),
    "image": ("jpeg", "png", "bmp", "webp", "image"),
    "text": ("txt", "json", "text"),
}
_MODALITY_OF = {format_: modality for modality, formats in _MODALITIES.items() for format_ in formats}
_MAJORITY = 0.80
"""The share of members from which one modality describes all of them."""
_PARTITION = re.compile(r"([a-z][a-z0-9_-]{0,63})=(.+)", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOST_LISTED = 6
_MOST_VALUES = 4


class _Summary:
    """How many members have a property, and their total size in bytes."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._bytes: defaultdict[str, int] = defaultdict(int)

    @property
    def counts(self) -> Mapping[str, int]:
        return self._counts

    def add(self, name: str, size: int) -> None:
        self._counts[name] += 1
        self._bytes[name] += size

    def summary(self, label: str) -> list[dict[str, object]]:
        return [
            {label: name, "component_count": self._counts[name], "total_bytes": self._bytes[name]}
            for name in _most_common(self._counts, _MOST_LISTED)
        ]


def dataset_profile(components: Sequence[DatasetComponent], *, total: int) -> dict[str, object]:
    """Return the profile of these members (at least one). total: the number of files in the dataset."""
    formats, splits = _Summary(), _Summary()
    partitions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    dates: set[str] = set()
    for component in components:
        folders = PurePosixPath(component.relative_path).parts
        formats.add(_format_of(component), component.component_size)
        split = next((SPLITS[part.lower()] for part in folders if part.lower() in SPLITS), None)
        if split is not None:
            splits.add(split, component.component_size)
        for key, value in _partitions_in(folders):
            partitions[key][value] += 1
            dates.update(_dates_in([value]))
        dates.update(_dates_in(folders))
    profile: dict[str, object] = {
        "profile_version": PROFILE_VERSION,
        "is_partial": total > len(components),
        "profiled_components": len(components),
        "total_components": max(total, len(components)),
        "modality_hint": _modality(formats.counts),
        "size_summary": _sizes([component.component_size for component in components]),
        "format_summary": formats.summary("format"),
    }
    if splits.counts:
        profile["split_summary"] = splits.summary("split")
    if partitions:
        profile["partition_summary"] = _partition_summary(partitions)
    if dates:
        profile["time_coverage_hint"] = {"min_date": min(dates), "max_date": max(dates)}
    return profile


def _format_of(component: DatasetComponent) -> str:
    name = component.relative_path.lower()
    if name.endswith(".tar.gz"):
        return "tar.gz"
    known = _FORMATS.get(PurePosixPath(name).suffix)
    media_type = (component.component_type or "").lower()
    if known is not None:
        return known
    for family in ("image", "text"):
        if media_type.startswith(f"{family}/"):
            return family
    return next((family for family in ("json", "csv", "parquet") if family in media_type), "unknown")


def _modality(formats: Mapping[str, int]) -> str:
    modalities: Counter[str] = Counter()
    for format_, count in formats.items():
        if format_ in _MODALITY_OF:
            modalities[_MODALITY_OF[format_]] += count
    if not modalities:
        return "unknown"
    (first, count), *others = modalities.most_common()
    return "mixed" if others and count / modalities.total() < _MAJORITY else first


def _sizes(sizes: Sequence[int]) -> dict[str, object]:
    return {
        "total_component_bytes": sum(sizes),
        "avg_component_bytes": round(sum(sizes) / len(sizes), 2),
        "min_component_bytes": min(sizes),
        "max_component_bytes": max(sizes),
    }


def _partitions_in(folders: Iterable[str]) -> Iterable[tuple[str, str]]:
    for folder in folders:
        found = _PARTITION.fullmatch(folder)
        if found is not None and found[2].strip():
            yield found[1].lower(), found[2].strip()


def _partition_summary(partitions: Mapping[str, Counter[str]]) -> list[dict[str, object]]:
    keys = sorted(partitions, key=lambda key: (-len(partitions[key]), key))
    return [
        {
            "key": key,
            "distinct_values": len(partitions[key]),
            "sample_values": _most_common(partitions[key], _MOST_VALUES),
        }
        for key in keys[:_MOST_LISTED]
    ]


def _most_common(counts: Mapping[str, int], most: int) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))[:most]


def _dates_in(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if _DATE.fullmatch(name):
            try:
                date.fromisoformat(name)
            except ValueError:
                continue
            yield name
