"""The requests of the protocol that stage nodes and links, of which there may be a million (`protocol.md §4`).

They are structs, because pydantic takes four times as long to read them. What holds for the models of `wire` holds for
them. `decoding` reads them. The garbage collector leaves out what a request has thousands of (`gc`): nothing that is
read from JSON refers to itself.
"""

import sys
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct

from roar_publisher.glaas.protocol import LARGEST_INTEGER
from roar_publisher.glaas.wire import MOST_ITEMS, NAME_LENGTH, NAME_PATTERN, TEXT_PATTERN

Text = Annotated[str, Meta(extra_json_schema={"pattern": TEXT_PATTERN})]
"""A text without NUL. `decoding` looks for that, and at names, in all items of a request together."""
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH, extra_json_schema={"pattern": NAME_PATTERN})]
"""A uid or a digest: printable ASCII without spaces."""
LineageHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", max_length=64)]
"""The length, because `$` matches before a line end, too."""
Count = Annotated[int, Meta(ge=0, le=LARGEST_INTEGER)]
Integer = Annotated[int, Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
Number = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A finite number."""
T = TypeVar("T")
Items = Annotated[list[T], Meta(max_length=MOST_ITEMS)]


class Job(Struct, omit_defaults=True, gc=False):
    """A recorded command. `metadata` is a JSON object as text. A `step_number` of None sorts before every number."""

    command: Text
    job_uid: Name
    timestamp: Number | None = None
    git_commit: Text | None = None
    git_branch: Text | None = None
    duration_seconds: Number | None = None
    exit_code: Integer | None = None
    job_type: Text | None = None
    step_number: Count | None = None
    metadata: Text | None = None
    parent_job_uid: Name | None = None


class JobsRequest(Struct):
    """`…/jobs/batch`. Parents may come in any order: they are looked up at finalize."""

    jobs: Items[Job]


class Hash(Struct, gc=False):
    """One digest of an artifact."""

    algorithm: Name
    digest: Name


class Artifact(Struct, omit_defaults=True, gc=False):
    """A content-addressed file. `size` is in bytes; `metadata` is a JSON text or an object."""

    hashes: Annotated[list[Hash], Meta(min_length=1, max_length=MOST_ITEMS)]
    size: Count
    source_type: Text | None = None
    metadata: Text | dict[str, Any] | None = None


class ArtifactsRequest(Struct):
    """`…/artifacts/batch` of a registration session."""

    artifacts: Items[Artifact]


class LegacyArtifact(Artifact, kw_only=True):
    """An artifact that contains the hash of its lineage."""

    session_hash: LineageHash


class LegacyArtifactsRequest(Struct):
    """`POST /artifacts/batch`."""

    artifacts: Items[LegacyArtifact]


class Link(Struct, gc=False):
    """A job's input or output, by the artifact's digest."""

    hash: Name
    path: Text
    size: Count | None = None
    source_type: Text | None = None
    metadata: Text | dict[str, Any] | None = None
    byte_ranges: Any = None


class LinksRequest(Struct):
    """`…/jobs/:uid/inputs` and `/outputs`."""

    artifacts: Items[Link]


class JobLinks(Struct, gc=False):
    """The inputs or the outputs of one job."""

    job_uid: Name
    kind: Literal["inputs", "outputs"]
    artifacts: Items[Link]


class LinksBatchRequest(Struct):
    """`…/links/batch`: the links of several jobs."""

    links: Items[JobLinks]
