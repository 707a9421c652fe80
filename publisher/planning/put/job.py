"""Describe the put job as roar-cli records it: its command, its metadata, its label (`protocol.md §9`)."""

import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.scope import Mode, RepoScope
from roar_publisher.planning.put.request import PutRequest

LABEL_SCHEMA = 1


def put_command(request: PutRequest) -> str:
    """Return the command in roar-cli's wording; options that do not affect the result are left out."""
    words = ["roar", "put", *map(shlex.quote, request.sources)]
    if not request.sources:
        words.append("(session outputs)")
    words += [shlex.quote(request.destination), _visibility(request).value]
    if not request.tag:
        words.append("--no-tag")
    if request.dataset:
        words.append("--as-dataset")
    if request.name:
        words += ["--step-name", shlex.quote(request.name)]
    return " ".join([*words, "-m", shlex.quote(request.message)])


def destination_type(destination: str) -> str:
    """Return the destination's scheme, or `local` for a path."""
    return urlsplit(destination).scheme or "local"


def put_metadata(
    request: PutRequest,
    *,
    urls: Mapping[str, str],
    identifiers: Sequence[Mapping[str, object]],
    commit: str,
    tag: str | None,
    now: float,
) -> dict[str, object]:
    """Return the put job's metadata as it is sent.

    urls: by artifact id.
    identifiers: of the datasets that the paths look like.
    tag: its name, None if none is made.
    """
    return {
        "message": request.message,
        "destination": request.destination,
        "destination_type": destination_type(request.destination),
        "artifacts": dict(urls),
        "composites": [],
        "lineage_composites": [],
        "dataset_identifiers": list(identifiers),
        "git_commit": commit,
        "git_tag": tag,
        "timestamp": now,
    }


def put_label(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return roar's own label of a put job with this metadata, as roar.db stores it."""
    datasets, read = _objects(metadata["composites"]), _objects(metadata["lineage_composites"])
    urls = metadata["artifacts"]
    label: dict[str, object] = {
        "schema_version": LABEL_SCHEMA,
        "operation": {"kind": "put"},
        "put": {
            "destination_type": metadata["destination_type"],
            "artifact_count": len(urls) if isinstance(urls, dict) else 0,
            "composites": _numbered_datasets(datasets),
            "lineage_composites": _numbered_datasets(read),
        },
        "git": _without_none({"commit": metadata["git_commit"], "tag": metadata["git_tag"]}),
    }
    identifiers = _objects(metadata["dataset_identifiers"])
    if identifiers:
        label["datasets"] = _numbered_identifiers(identifiers)
    return {"roar": label}


def _visibility(request: PutRequest) -> Flag:
    """Return the visibility that the flag or else the repository's scope asks for; never NONE."""
    if request.flag is not Flag.NONE:
        return request.flag
    scope = RepoScope.from_config(request.project.config.table)
    if scope.mode is Mode.ANONYMOUS:
        return Flag.ANONYMOUS
    public = scope.visibility == "public" if scope.mode is Mode.PROJECT else scope.mode is Mode.PUBLIC
    by_default = scope.mode is Mode.UNSET and scope.public_by_default
    return Flag.PUBLIC if public or by_default else Flag.PRIVATE


def _numbered_datasets(datasets: Sequence[Mapping[str, object]]) -> dict[str, object]:
    names = ("hash", "root_path", "component_count_total", "component_count_stored", "registered")
    ordered = sorted(datasets, key=lambda one: (str(one.get("root_path") or ""), str(one.get("hash") or "")))
    numbered: dict[str, object] = {
        str(number): _without_none({name: one.get(name) for name in names}) for number, one in enumerate(ordered)
    }
    count = {"count": len(ordered)} if ordered else {}
    return numbered | count | {"registered_count": len([one for one in ordered if one.get("registered") is True])}


def _numbered_identifiers(identifiers: Sequence[Mapping[str, object]]) -> dict[str, object]:
    names = {
        "id": "dataset_id",
        "fingerprint": "dataset_fingerprint",
        "fingerprint_algorithm": "dataset_fingerprint_algorithm",
        "confidence": "confidence",
        "observed_paths": "observed_paths",
        "split": "split",
        "version_hint": "version_hint",
    }
    keys = ("dataset_id", "split", "version_hint")
    ordered = sorted(identifiers, key=lambda one: [str(one.get(key) or "") for key in keys])
    numbered: dict[str, object] = {}
    for number, one in enumerate(ordered):
        evidence = one["evidence"]
        assert isinstance(evidence, list)
        named: dict[str, object] = {label: one.get(name) for label, name in names.items()}
        named["evidence_count"] = len(evidence)
        named["evidence"] = {str(place): value for place, value in enumerate(sorted(evidence))}
        numbered[str(number)] = _without_none(named)
    return numbered | {"count": len(ordered)}


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _objects(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []
