"""Detect datasets from the paths of a put: where each lies, and the evidence for it.

The evidence and its weights are roar-cli's. A location is reported if its weights add up to enough. No file is opened.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from msgspec import Struct, field

from roar_publisher.blake3_hashers import blake3_hasher
from roar_publisher.planning.put.request import Digested, PutRequest

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "dev": "dev",
    "eval": "dev",
    "predict": "predict",
    "holdout": "holdout",
}
"""Names of folders of a split, and the split."""
MIN_CONFIDENCE = 0.55
"""The least sum of weights at which a location is taken for a dataset."""

_MANIFESTS = frozenset(
    {
        "manifest.json",
        "dataset_info.json",
        "data.yaml",
        "dataset-card.md",
        "_success",
        "extraction_manifest.json",
        "block_manifest.json",
        "ray_manifest.json",
    }
)
_INNER_FOLDERS = frozenset({"_versions", "_transactions", "data"})
_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_PAYLOAD = _IMAGES | {".mcap", ".lance", ".parquet", ".tfrecord", ".tar", ".csv", ".jsonl"}
_METADATA = frozenset({".json", ".manifest", ".txn", ""})
_VOLATILE = frozenset({"checkpoints", "wandb", "mlruns", ".git", ".venv", "__pycache__", "tmp", "temp"})
_SCHEMES = frozenset({"s3", "gs", "https", "http", "file"})
_SESSION = re.compile(r"session_\d+_[a-z0-9_-]+(?:\.lance)?", re.IGNORECASE)
_VERSION = re.compile(r"v\d+|\d{4}-\d{2}-\d{2}", re.IGNORECASE)
_PARTITION = re.compile(r"[a-z][a-z0-9_-]*=[^/]+|\d{4}-\d{2}-\d{2}", re.IGNORECASE)
_CLASS = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.IGNORECASE)
_SHARD = re.compile(
    r"(?:part[-_]\d+(?:-of-\d+)?|shard[-_]\d+(?:-of-\d+)?|[a-z0-9_-]+-\d{5,}-of-\d+|\d{5,})(?:\..+)?", re.IGNORECASE
)
_TAIL = 6
"""How many of a path's last names are examined; the name of a home folder says nothing about a dataset."""
_MANY_FILES, _MANY_SESSIONS, _MANY_SHARDS, _FEW_FILES = 8, 3, 3, 5

_FINGERPRINT_DOMAIN = b"roar:dataset-id:v1\0"


class _Location(Struct, frozen=True):
    """A path or URL, split into names."""

    scheme: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.names[-1].lower()

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.names[-1]).suffix.lower()


class _Observations(Struct):
    """Observations about one location; each set or count becomes evidence."""

    paths: int = 0
    seen: set[str] = field(default_factory=set)
    shards: int = 0
    only_metadata: bool = True
    volatile: bool = False
    sessions: set[str] = field(default_factory=set)
    splits: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)


def dataset_identifiers(request: PutRequest, digested: Sequence[Digested]) -> list[dict[str, object]]:
    """Return the datasets that the sources, as typed, and their files look like; the most confident first."""
    paths = [typed if "://" in typed else os.path.abspath(request.project.root / typed) for typed in request.sources]
    for one in digested:
        paths.append(str(one.source.recorded))
        if one.source.root is not None:
            paths.append(str(one.source.root))
    places: dict[str, _Observations] = {}
    for path in map(_path, dict.fromkeys(paths)):
        place, seen = _locate(path) if path is not None and len(path.names) > 1 else ((), set())
        if path is not None and place:
            signs = places.setdefault(_address(path.scheme, place), _Observations())
            _observe(signs, path, seen)
    found = [_identifier(address, signs) for address, signs in places.items()]
    return sorted((one for one in found if one is not None), key=_by_confidence)


def identifier_of(root: str, identifiers: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return the identifier of the dataset in that folder, or an empty dict if there is none."""
    for identifier in identifiers:
        where = urlsplit(str(identifier["dataset_id"]))
        if where.scheme == "file" and where.path.rstrip("/") == root.rstrip("/"):
            return dict(identifier)
    return {}


def _path(text: str) -> _Location | None:
    if "://" not in text:
        return _Location("file", tuple(name for name in text.split("/") if name))
    parts = urlsplit(text)
    names = tuple(name for name in PurePosixPath(parts.path).parts if name != "/")
    if parts.scheme not in _SCHEMES:
        return None
    host = (parts.netloc,) if parts.netloc and parts.scheme != "file" else ()
    return _Location(parts.scheme, host + names)


def _locate(path: _Location) -> tuple[tuple[str, ...], set[str]]:
    """Return the location of the dataset that this file may belong to, and the evidence for it."""
    if _is_folder(path):
        return path.names, {"explicit_root_hint"}
    place = list(path.names[:-1])
    seen: set[str] = set()
    if place[-1].lower() in _INNER_FOLDERS:
        place.pop()
        seen.add("container_internal_collapse")
    if place and _SESSION.fullmatch(place[-1]):
        place.pop()
    if path.suffix in _IMAGES and place and _is_class(place[-1]):
        place.pop()
        seen.add("class_folder_collapse")
    if place and place[-1].lower() in SPLITS:
        place.pop()
    while place and _PARTITION.fullmatch(place[-1]):
        place.pop()
        seen.add("partition_collapse")
    if _is_day(place[-3:]):
        del place[-3:]
        seen.add("partition_collapse")
    return tuple(place), seen


def _is_folder(path: _Location) -> bool:
    """Return whether a path without a suffix is the dataset itself."""
    special = _MANIFESTS | _INNER_FOLDERS | SPLITS.keys()
    return not path.suffix and path.name not in special and not _SESSION.match(path.name)


def _is_class(name: str) -> bool:
    """Return whether images lie in a folder that may be named after their class."""
    return (
        _CLASS.fullmatch(name) is not None
        and name.lower() not in SPLITS.keys() | _VOLATILE
        and not _SESSION.fullmatch(name)
        and not _PARTITION.fullmatch(name)
    )


def _is_day(names: Sequence[str]) -> bool:
    """Return whether these are a year, a month and a day."""
    if len(names) < 3 or not all(name.isdecimal() for name in names):
        return False
    year, month, day = names
    return len(year) == 4 and 1970 <= int(year) <= 2100 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _observe(signs: _Observations, path: _Location, seen: set[str]) -> None:
    signs.paths += 1
    signs.seen |= seen
    if path.name in _MANIFESTS or path.name.endswith(".manifest"):
        signs.seen.add("manifest_anchor")
    if path.suffix in _PAYLOAD:
        signs.seen.add("payload_ext")
        signs.shards += bool(_SHARD.fullmatch(path.name))
    signs.only_metadata &= path.suffix in _METADATA
    first = max(0, len(path.names) - _TAIL)
    for place, name in enumerate(map(str.lower, path.names[first:]), start=first):
        # The file system's /tmp says nothing about the data below it.
        own_tmp = path.scheme == "file" and name in ("tmp", "temp") and place <= 1
        signs.volatile |= name in _VOLATILE and not own_tmp
        if name in SPLITS:
            signs.splits.add(SPLITS[name])
        if _SESSION.fullmatch(name):
            signs.sessions.add(name)
        if _VERSION.fullmatch(name):
            signs.versions.add(name)


def _evidence(signs: _Observations) -> list[tuple[str, float]]:
    """Return the evidence for and against the location, with its weight, in roar-cli's order."""
    known = "explicit_root_hint" in signs.seen
    rows = (
        ("manifest_anchor", 0.25, "manifest_anchor" in signs.seen),
        ("high_cardinality", 0.20, signs.paths >= _MANY_FILES),
        ("session_cluster", 0.20, len(signs.sessions) >= _MANY_SESSIONS),
        ("payload_ext", 0.20, "payload_ext" in signs.seen),
        ("container_internal_collapse", 0.10, "container_internal_collapse" in signs.seen),
        ("partition_collapse", 0.15, "partition_collapse" in signs.seen),
        ("class_folder_collapse", 0.15, "class_folder_collapse" in signs.seen),
        ("shard_cluster", 0.10, signs.shards >= _MANY_SHARDS),
        ("explicit_root_hint", 0.35, known),
        ("anti_metadata_only", -0.35, signs.only_metadata and signs.paths <= _FEW_FILES and not known),
        ("anti_volatile_path", -0.25, signs.volatile),
    )
    return [(name, weight) for name, weight, holds in rows if holds]


def _identifier(address: str, signs: _Observations) -> dict[str, object] | None:
    evidence = _evidence(signs)
    confidence = round(max(0.0, min(1.0, sum(weight for _name, weight in evidence))), 2)
    if confidence < MIN_CONFIDENCE:
        return None
    identifier: dict[str, object] = {
        "dataset_id": address,
        "dataset_fingerprint": blake3_hasher(_FINGERPRINT_DOMAIN + address.encode()).hexdigest(),
        "dataset_fingerprint_algorithm": "blake3",
        "confidence": confidence,
        "evidence": [name for name, _weight in evidence],
        "observed_paths": signs.paths,
    }
    if len(signs.splits) == 1:
        identifier["split"] = min(signs.splits)
    if signs.versions:
        identifier["version_hint"] = min(signs.versions)
    return identifier


def _address(scheme: str, names: Sequence[str]) -> str:
    return f"{scheme}://{'/' if scheme == 'file' else ''}{'/'.join(names)}"


def _by_confidence(identifier: Mapping[str, object]) -> tuple[float, str]:
    confidence = identifier["confidence"]
    assert isinstance(confidence, float)
    return -confidence, str(identifier["dataset_id"])
