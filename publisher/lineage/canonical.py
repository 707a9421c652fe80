"""The canonical form of a lineage, its hash, and the remote job uids derived from it (`protocol.md §6`).

Pure functions on the standard library: the client computes the provisional hash with them, the registry the
authoritative one. A lineage is never held in memory as a whole. Each job becomes one canonical JSON text. The texts are
fed in final order to `LineageHasher`, which writes the envelope around them and keeps only one SHA-256 state per
identity.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as _encode_text

from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY

CANONICAL_VERSION = 1
DEFAULT_JOB_TYPE = "run"
"""The type of a job that has none, here and in requests."""
REMOTE_UID_LENGTH = 32
"""The number of hex digits of a remote job uid."""

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class MetadataText(str):
    """Metadata in canonical form, as JSON text."""

    __slots__ = ()


def metadata_text(value: object) -> MetadataText:
    """Return a job's metadata (an object or its JSON text) in canonical form, as JSON text."""
    return value if isinstance(value, MetadataText) else MetadataText(_encode(canonical_metadata(value)))


def canonical_value(text: str) -> str:
    """Return any JSON value within metadata in canonical form. Raises ValueError and RecursionError."""
    return _encode(_decode_canonical(text))


def canonical_metadata(value: object) -> dict[str, object]:
    """Return a job's metadata (an object or its JSON text) as an object in canonical form.

    Whole floats become ints, non-finite ones null; others pass through 16 significant digits. Anything that is not a
    JSON object (null, a list, invalid JSON, or nesting beyond Python's recursion limit) becomes `{}`. Keys are sorted
    when the job is serialised.
    """
    try:
        canonical = _decode_canonical(value) if isinstance(value, str) else _canonical_value(value)
    except (ValueError, RecursionError):
        return {}
    return canonical if isinstance(canonical, dict) else {}


def canonical_job(
    *,
    command: str,
    job_type: str | None,
    step_number: int | None,
    parent_step_number: int | None,
    inputs: Iterable[tuple[str, str]],
    outputs: Iterable[tuple[str, str]],
    metadata: object,
) -> str:
    """Return the canonical JSON text of one job.

    inputs, outputs: (digest, path) pairs in any order; several paths of one digest count once, under the smallest.
    metadata: an object, its JSON text in any form (`MetadataText` is taken as it is), or None.
    """
    head, middle, tail = canonical_frame(
        command=command,
        job_type=job_type,
        step_number=step_number,
        parent_step_number=parent_step_number,
        metadata=metadata,
    )
    return f"{head}{canonical_page(inputs)}{middle}{canonical_page(outputs)}{tail}"


def canonical_frame(
    *, command: str, job_type: str | None, step_number: int | None, parent_step_number: int | None, metadata: object
) -> tuple[str, str, str]:
    """Return the text of `canonical_job` without its links: the parts before, between and after inputs and outputs.

    For a job with too many links to hold in memory at once; see `canonical_page`.
    """
    kind, fields = _encode_text(job_type or DEFAULT_JOB_TYPE), metadata_text(metadata)
    parent, step = _number_or_null(parent_step_number), _number_or_null(step_number)
    return (
        f'{{"command":{_encode_text(command)},"inputs":[',
        f'],"job_type":{kind},"metadata":{fields},"outputs":[',
        f'],"parent_step_number":{parent},"step_number":{step}}}',
    )


def canonical_page(links: Iterable[tuple[str, str]]) -> str:
    """Return the text of the links of one kind.

    links: (digest, path) pairs in any order; several paths of one digest count once, under the smallest. If a job has
    too many links for one page, each page holds the next ones in the order of their digests, and a comma joins them.
    """
    smallest: dict[str, str] = {}
    for digest, path in links:
        if digest and (digest not in smallest or path < smallest[digest]):
            smallest[digest] = path
    # There may be a million links, and two encoded texts cost a third of an encoded object.
    return ",".join(
        [
            f'{{"hash":{_text_or_null(digest.strip())},"path":{_text_or_null(path.strip())}}}'
            for digest, path in sorted(smallest.items())
        ]
    )


def sort_key(step_number: int | None, canonical_text: str) -> tuple[int, int, str]:
    """Return a job's sort key in its lineage: by step, then by canonical text. Jobs without a step come first."""
    if step_number is None:
        return (0, 0, canonical_text)
    return (1, step_number, canonical_text)


class LineageHasher:
    """Computes the lineage hash under several identities at once, job by job.

    Memory does not grow with the lineage. The caller must add the jobs in order (`sort_key`).
    """

    def __init__(
        self, git_repo: str | None, git_commit: str | None, git_branch: str | None, identities: Iterable[str]
    ) -> None:
        git = {"repo": _stripped(git_repo), "commit": _stripped(git_commit), "branch": _stripped(git_branch)}
        self._states = {}
        self._separator = b""
        for identity in identities:
            creator = identity.strip() or ANONYMOUS_IDENTITY
            head = _encode({"canonical_version": CANONICAL_VERSION, "creator_identity": creator, "git": git})
            # The closing brace is replaced by the last key of the envelope, "jobs": keys are in sorted order.
            self._states[identity] = hashlib.sha256(f'{head[:-1]},"jobs":['.encode())

    def add(self, canonical_text: str, *, last: bool = True) -> None:
        """Add the next job's canonical text, or a piece of it. last: whether the text ends with this piece."""
        chunk = self._separator + canonical_text.encode("ascii")
        self._separator = b"," if last else b""
        for state in self._states.values():
            state.update(chunk)

    def digests(self) -> dict[str, str]:
        """Return the lineage hash (64 hex digits) of the jobs added so far, by identity. May be called repeatedly."""
        result = {}
        for identity, state in self._states.items():
            final = state.copy()
            final.update(b"]}")
            result[identity] = final.hexdigest()
        return result


def remote_job_uid(lineage_hash: str, local_uid: str) -> str:
    """Return a job's uid on the server: stable for the same job of the same lineage, new if the lineage has grown."""
    name = f"{lineage_hash.strip().lower()}\0{local_uid.strip()}"
    return hashlib.sha256(name.encode()).hexdigest()[:REMOTE_UID_LENGTH]


def _number_or_null(number: int | None) -> str:
    return "null" if number is None else str(number)


def _text_or_null(text: str) -> str:
    return _encode_text(text) if text else "null"


def _stripped(text: str | None) -> str | None:
    return (text or "").strip() or None


def _canonical_float(value: float) -> int | float | None:
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else float(format(value, ".16g"))


# The decoder calls this for every float; looking for them afterwards takes ten times as long.
_decode_canonical = json.JSONDecoder(
    parse_float=lambda text: _canonical_float(float(text)), parse_constant=lambda _name: None
).decode


def _canonical_value(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _canonical_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical_value(item) for item in value]
    if isinstance(value, float):
        return _canonical_float(value)
    return value
