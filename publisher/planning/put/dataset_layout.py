"""Detect from the names of a folder's files whether it is a dataset, and which files make up its identity.

The rules are roar-cli's, and part of a dataset's digest. A format is recognised only by its layout; nothing is guessed.
Files that every repository has (a README, a licence) never count.
"""

from collections.abc import Sequence
from enum import StrEnum
from posixpath import basename

from msgspec import Struct

_NEVER_COUNT = frozenset({".gitattributes", ".gitignore", "README.md", "LICENSE", ".DS_Store"})
_ZARR = frozenset({".zarray", ".zgroup", "zarr.json"})
_SHARDS = 2
"""The fewest loose files, or datasets in folders, that make a dataset."""


class Layout(StrEnum):
    """A dataset format, as a folder's files declare it."""

    LEROBOT = "lerobot"
    ZARR = "zarr"
    LANCE = "lance"
    RLDS = "rlds"
    WEBDATASET = "webdataset"
    PARQUET = "parquet-shards"
    UNSTRUCTURED = "unstructured"


_WITH_MANIFEST = frozenset({Layout.LEROBOT, Layout.ZARR, Layout.LANCE, Layout.RLDS})
"""Layouts with a file that distinguishes them from loose shards, so that several may lie side by side in a folder."""


class Structure(Struct, frozen=True):
    """A layout, and the paths that make up the identity of a dataset of that layout."""

    layout: Layout
    identity: frozenset[str]


def structure_of(paths: Sequence[str]) -> Structure:
    """Return the structure of a folder, given the paths of its files below it."""
    counted = frozenset(path for path in paths if basename(path) not in _NEVER_COUNT)
    if _has(counted, "meta/info.json") and any(path.startswith("data/chunk-") for path in counted):
        parts = ("meta/", "data/", "videos/")
        return Structure(Layout.LEROBOT, frozenset(path for path in counted if path.startswith(parts)))
    for layout, declared in (
        (Layout.ZARR, any(basename(path) in _ZARR for path in counted)),
        (Layout.LANCE, _is_lance(counted)),
        (Layout.RLDS, _has(counted, "dataset_info.json") and _has(counted, "features.json")),
        (Layout.WEBDATASET, len(counted) >= _SHARDS and all(path.endswith(".tar") for path in counted)),
    ):
        if declared:
            return Structure(layout, counted)
    parquet = frozenset(path for path in counted if path.endswith(".parquet"))
    if len(parquet) >= _SHARDS:
        return Structure(Layout.PARQUET, parquet)
    return Structure(Layout.UNSTRUCTURED, counted)


def datasets_below(paths: Sequence[str]) -> list[str]:
    """Return the folders that are separate datasets, sorted, if there are at least two, otherwise none.

    Folders of loose shards are partitions of one dataset and never count.
    """
    below: dict[str, list[str]] = {}
    for path in paths:
        folder, slash, rest = path.partition("/")
        if slash and basename(path) not in _NEVER_COUNT:
            below.setdefault(folder, []).append(rest)
    found = sorted(folder for folder, rest in below.items() if structure_of(rest).layout in _WITH_MANIFEST)
    return found if len(found) >= _SHARDS else []


def _has(paths: frozenset[str], name: str) -> bool:
    return any(path == name or path.endswith(f"/{name}") for path in paths)


def _is_lance(paths: frozenset[str]) -> bool:
    return _has(paths, "_versions") or any(path.endswith(".lance") or ".lance/" in path for path in paths)
