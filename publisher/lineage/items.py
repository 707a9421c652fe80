"""One job, artifact or link: redacted, encoded for a request (`protocol.md §4`), and in canonical form for the hash."""

from collections.abc import Sequence
from itertools import chain

from msgspec.structs import replace

from roar_publisher.glaas.request_dicts import ArtifactItem, JobItem
from roar_publisher.lineage.artifacts import hash_entries, is_composite, remote_source
from roar_publisher.lineage.canonical import DEFAULT_JOB_TYPE, canonical_job, sort_key
from roar_publisher.lineage.git.context import GitContext
from roar_publisher.lineage.jsontext import encode, encode_text, parse_json
from roar_publisher.lineage.metadata import MetadataRedactor
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.rows import JobRow, LinkRow
from roar_publisher.lineage.selection import JobHead


def sendable(links: Sequence[LinkRow]) -> list[LinkRow]:
    """Return the links that can be sent: those with a path and a digest."""
    return [link for link in links if link.path and link.digest]


def distinct_digests(links: Sequence[LinkRow]) -> int:
    """Return how many links the server will count (`protocol.md §4`): two paths with the same bytes are one."""
    return len({link.digest for link in links})


def canonical_key(
    head: JobHead, parent_step: int | None, job: JobRow, inputs: Sequence[LinkRow], outputs: Sequence[LinkRow]
) -> tuple[int, int, str]:
    """Return the job's sort key and text in the lineage hash (`protocol.md §6`)."""
    text = canonical_job(
        command=job.command,
        job_type=job.job_type,
        step_number=head.step,
        parent_step_number=parent_step,
        inputs=[(link.digest, link.path) for link in inputs],
        outputs=[(link.digest, link.path) for link in outputs],
        metadata=job.metadata,
    )
    return sort_key(head.step, text)


def redacted_job(job: JobRow, redactor: Redactor, metadata: MetadataRedactor) -> tuple[JobRow, JobRow]:
    """Return the job without the secrets in its command, metadata and branch, and as captured.

    The metadata of the second is in canonical form.
    """
    sent_metadata, captured = metadata.redacted(job.metadata) if job.metadata else (job.metadata, job.metadata)
    sent = replace(
        job,
        command=redactor.text(job.command),
        git_branch=redactor.text(job.git_branch) if job.git_branch else job.git_branch,
        metadata=sent_metadata,
    )
    return sent, replace(job, metadata=captured)


def redacted_sides(
    inputs: list[LinkRow], outputs: list[LinkRow], redactor: Redactor
) -> tuple[list[LinkRow], list[LinkRow]]:
    """Return the links of a job without the secrets in their paths; the same lists if there are none."""
    if redactor.certainly_clean(link.path for link in chain(inputs, outputs)):
        return inputs, outputs
    return _redacted_links(inputs, redactor), _redacted_links(outputs, redactor)


def _redacted_links(links: list[LinkRow], redactor: Redactor) -> list[LinkRow]:
    paths = [redactor.text(link.path) for link in links]
    if all(path == link.path for path, link in zip(paths, links, strict=True)):
        return links
    return [link._replace(path=path) for path, link in zip(paths, links, strict=True)]


def job_item(head: JobHead, job: JobRow, git: GitContext) -> str:
    """Return a job under its local uid; git fields that roar.db lacks come from the working repository."""
    item: JobItem = {
        "command": job.command,
        "timestamp": job.timestamp,
        "job_uid": head.uid,
        "git_commit": job.git_commit or git.commit or "",
        "git_branch": job.git_branch or git.branch or "",
        "duration_seconds": job.duration_seconds,
        "exit_code": job.exit_code,
        "job_type": job.job_type or DEFAULT_JOB_TYPE,
        "step_number": head.step,
    }
    if job.metadata:
        item["metadata"] = job.metadata
    if head.parent_uid is not None:
        item["parent_job_uid"] = head.parent_uid
    return encode(item)


def artifact_item(link: LinkRow, redactor: Redactor) -> str:
    """Return the artifact that a link names; its source URL is in its metadata."""
    source = remote_source(link.source_type)
    size, hashes = max(0, link.size or 0), hash_entries(link.hashes)
    if not source:  # two encoded texts cost a third of an encoded object
        entries = (f'{{"algorithm":{encode_text(h["algorithm"])},"digest":{encode_text(h["digest"])}}}' for h in hashes)
        return f'{{"hashes":[{",".join(entries)}],"size":{size},"source_type":null}}'
    item: ArtifactItem = {"hashes": hashes, "size": size, "source_type": source}
    if link.source_url:
        value = parse_json(link.metadata)
        metadata = value if isinstance(value, dict) else {}
        item["metadata"] = encode(redactor.value({"source_url": link.source_url} | metadata))
    return encode(item)


def link_item(link: LinkRow) -> str:
    """Return a link without redacting it: call `redacted_sides` first."""
    ranges = parse_json(link.byte_ranges) if link.byte_ranges else None
    more = f',"byte_ranges":{encode(ranges)}' if ranges is not None else ""
    # There may be a million links, and two encoded texts cost a third of an encoded object.
    return f'{{"hash":{encode_text(link.digest)},"path":{encode_text(link.path)}{more}}}'


def described_link_item(link: LinkRow) -> str:
    """Return a link of a put job: with size and source for a file (`protocol.md §9`), without for a dataset."""
    if is_composite(link.kind, link.hashes):
        return link_item(link)
    size, source = max(0, link.size or 0), remote_source(link.source_type)
    return f'{link_item(link)[:-1]},"size":{size},"source_type":{encode(source)}}}'
