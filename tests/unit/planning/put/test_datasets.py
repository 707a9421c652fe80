"""Datasets, their digests and their descriptions equal those of roar-cli, for many file listings."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from blake3 import blake3
from msgspec.structs import asdict
from roar.application.composite import detect, detect_nested  # type: ignore[import-untyped]
from roar.application.publish.composite_builder import CompositeArtifactBuilder  # type: ignore[import-untyped]
from roar.application.publish.composites import build_publish_composite_results  # type: ignore[import-untyped]
from roar.application.publish.datasets import (  # type: ignore[import-untyped]
    detect_additional_publish_composite_roots,
    infer_publish_dataset_identifiers,
)
from roar.application.publish.source_resolution import ResolvedSource  # type: ignore[import-untyped]
from roar.execution.recording.dataset_profile import build_dataset_profile  # type: ignore[import-untyped]

from roar_publisher.lineage.composites import DatasetComponent
from roar_publisher.lineage.config import Config
from roar_publisher.lineage.project import Project
from roar_publisher.planning.put.dataset_detection import dataset_identifiers
from roar_publisher.planning.put.dataset_layout import datasets_below, structure_of
from roar_publisher.planning.put.dataset_profile import dataset_profile
from roar_publisher.planning.put.datasets import datasets_in
from roar_publisher.planning.put.prepare import digest_sources
from roar_publisher.planning.put.request import Digested, PutRequest, Source
from roar_publisher.storage.source import Content, FileStamp

ROUNDS = 400
FOLDERS = (
    *("data", "meta", "videos", "train", "val", "Test", "eval", "chunk-0", "a.zarr", "t.lance", "_versions", "cats"),
    *(
        "date=2024-01-02",
        "2024-13-40",
        "2023-02-03",
        "2024",
        "01",
        "17",
        "v2",
        "V10",
        "session_01_x",
        "tmp",
        "region=EU",
    ),
    *("checkpoints", "größe", "a b", ".git", "session_2_b.lance", "wandb", "k="),
)
FILES = (
    *("info.json", "README.md", ".zgroup", "zarr.json", "dataset_info.json", "features.json", "a.tar", "b.tar.gz"),
    *("part-00001.parquet", "shard_3-of-9.tar", "x.csv", "00001.jpg", "IMG.PNG", "e.parquet", "_SUCCESS", "noext"),
    *("manifest.json", "1.manifest", "d.tfrecord", "train-00001-of-00010", "LICENSE", "x.txt", "y.webp", "0.lance"),
    *("data.yaml", "z.html", "2024-01-05.jsonl", "q.bin", "v1", "train.csv"),
)
seeds = pytest.mark.parametrize("seed", range(8))


def listing(chance: random.Random) -> list[str]:
    """Return the relative paths of a folder's files, each once."""
    most = chance.choice((1, 2, 4, 12, 30))
    folders = chance.sample(FOLDERS, chance.randint(1, 5))
    paths = {"/".join([*chance.choices(folders, k=chance.randint(0, 4)), chance.choice(FILES)]) for _ in range(most)}
    return sorted(path for path in paths if not any(path.startswith(f"{other}/") for other in paths))


@seeds
def test_layouts_are_detected_as_in_roar_cli(seed: int) -> None:
    chance = random.Random(seed)
    kinds = set()
    for _ in range(ROUNDS):
        paths = listing(chance)
        theirs, nested = detect(paths), detect_nested(paths)
        structure = structure_of(paths)
        kinds.add(structure.layout)
        # What roar-cli calls boilerplate is what it leaves out of a dataset.
        assert (structure.layout, structure.identity) == (theirs.kind, frozenset(paths) - set(theirs.boilerplate)), (
            paths
        )
        assert datasets_below(paths) == nested.nested, paths
    assert len(kinds) > 4


@seeds
def test_profiles_equal_those_of_roar_cli(seed: int) -> None:
    chance = random.Random(seed)
    types = (None, "text/html", "image/tiff", "application/json", "application/x-parquet")
    for _ in range(ROUNDS):
        components = [
            DatasetComponent(path, "file", "blake3", "ab", chance.randint(0, 9_999), chance.choice(types))
            for path in listing(chance)
        ]
        total = chance.choice((0, len(components), len(components) + 5))
        theirs = build_dataset_profile([asdict(one) for one in components], total_components=total)
        assert dataset_profile(components, total=total) == theirs


@seeds
def test_datasets_and_identifiers_equal_those_of_roar_cli(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    made = named = 0
    for number in range(40):
        root = tmp_path / chance.choice(("work", "runs/v3", "train")) / str(number)
        digested, typed = files_below(root, chance)
        declared = chance.random() < 0.5
        identifiers = dataset_identifiers(request(tmp_path, typed), digested)
        theirs = resolved(digested)
        expected = infer_publish_dataset_identifiers(repo_root=tmp_path, source_specs=typed, resolved_sources=theirs)
        assert identifiers == expected
        datasets = datasets_in(digested, identifiers, declared=declared, source_type="s3", artifact_id=str)
        results = build_publish_composite_results(
            resolved_sources=theirs,
            hashes_by_path={str(one.source.path): one.content.blake3 for one in digested},
            session_hash="",
            source_type="s3",
            additional_composite_roots=detect_additional_publish_composite_roots(resolved_sources=theirs),
            composite_builder=CompositeArtifactBuilder(),
            declared=declared,
        )
        assert [(one.root, one.digest, one.total, one.size) for one in datasets] == [
            (one.root_path, one.digest, one.component_count_total, one.payload["size"]) for one in results
        ]
        for ours, result in zip(datasets, results, strict=True):
            assert [asdict(component) for component in ours.components] == result.payload["components"]
            assert ours.index.items() <= result.payload["membership_index"].items()
        made, named = made + len(datasets), named + len(identifiers)
    assert made > 10
    assert named > 10


def files_below(root: Path, chance: random.Random) -> tuple[list[Digested], list[str]]:
    """Make real files (their sizes are read), some typed as a folder and some one by one."""
    folder = chance.random() < 0.7
    digested = []
    for path in listing(chance):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
        source = Source(file, path, root) if folder else Source(file, file.name)
        fence = FileStamp(len(path.encode()), 0, 0, 0)
        digested.append(Digested(source, Content(str(file), fence, f"{chance.getrandbits(256):064x}", 1, ())))
    return digested, [str(root)] if folder else [str(one.source.path) for one in digested] + ["@2", "s3://b/data/x.csv"]


def resolved(digested: Sequence[Digested]) -> list[Any]:
    """Return the same files as roar-cli resolves them."""
    return [
        ResolvedSource(path=one.source.path, exists=True, relative_key=one.source.key, source_root=one.source.root)
        for one in digested
    ]


def request(root: Path, typed: list[str]) -> PutRequest:
    project = Project(root, root / ".roar", root / ".roar" / "roar.db", Config())
    return PutRequest(project, tuple(typed), "s3://bucket", "a message")


def test_a_link_counts_by_its_text_whatever_bytes_that_has(tmp_path: Path) -> None:
    target = os.fsencode(tmp_path) + b"/caf\xe9.tar"
    Path(os.fsdecode(target)).touch()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.tar").symlink_to(os.fsdecode(target))
    (folder / "b.tar").touch()
    sources = tuple(Source(path, path.name, folder) for path in sorted(folder.iterdir()))
    (dataset,) = datasets_in(anyio.run(digest_sources, sources), [], declared=True, source_type=None, artifact_id=str)
    link, file = dataset.components
    assert (link.leaf_kind, link.component_digest) == ("symlink", blake3(target).hexdigest())
    assert file.leaf_kind == "file"


def test_a_folder_that_is_named_after_another_sign_than_a_digit_is_no_day(tmp_path: Path) -> None:
    assert dataset_identifiers(request(tmp_path, ["2024/10/\u00b2/x.csv"]), []) == []
