"""One job, artifact or link as it stands in a request (`protocol.md §4`), redacted; and a job as it is hashed."""

from collections.abc import Sequence

from publisher.lineage.batches import encode
from publisher.lineage.canonical import DEFAULT_JOB_TYPE, canonical_job, sort_key
from publisher.lineage.database import JobRow, LinkRow
from publisher.lineage.gitcontext import GitContext
from publisher.lineage.links import hash_entries, link_digest, parsed_json, remote_source
from publisher.lineage.redaction import Redactor
from publisher.lineage.selection import JobHead


def travelling(links: Sequence[LinkRow]) -> list[LinkRow]:
    """The links that can be sent: those with a path and a digest."""
    return [link for link in links if link.path and link.hashes]


def distinct_digests(links: Sequence[LinkRow]) -> int:
    """How many links the server will count (`protocol.md §4`): two paths with the same bytes are one."""
    return len({link_digest(link.hashes) for link in links})


def canonical_key(
    head: JobHead, parent_step: int | None, job: JobRow, inputs: Sequence[LinkRow], outputs: Sequence[LinkRow]
) -> tuple[int, int, str]:
    """The job's place and text in the lineage hash: unredacted (`protocol.md §6`)."""
    text = canonical_job(
        command=job.command,
        job_type=job.job_type,
        step_number=head.step,
        parent_step_number=parent_step,
        inputs=[(link_digest(link.hashes), link.path) for link in inputs],
        outputs=[(link_digest(link.hashes), link.path) for link in outputs],
        metadata=job.metadata,
    )
    return sort_key(head.step, text)


def job_item(head: JobHead, job: JobRow, git: GitContext, redactor: Redactor) -> str:
    """A job under its local uid; what roar.db does not say about git is filled in from the working repository."""
    item: dict[str, object] = {
        "command": redactor.text(job.command),
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
        item["metadata"] = _redacted_metadata(job.metadata, redactor)
    if head.parent_uid is not None:
        item["parent_job_uid"] = head.parent_uid
    return encode(item)


def artifact_item(link: LinkRow, redactor: Redactor) -> str:
    """The artifact that a link names; where it came from travels in its metadata."""
    source = remote_source(link.source_type)
    item: dict[str, object] = {
        "hashes": hash_entries(link.hashes),
        "size": max(0, link.size or 0),
        "source_type": source,
    }
    if link.source_url and source:
        parsed = parsed_json(link.metadata)
        metadata = parsed if isinstance(parsed, dict) else {}
        item["metadata"] = encode(redactor.value({"source_url": link.source_url} | metadata))
    return encode(item)


def link_item(link: LinkRow) -> str:
    """A link.  Its path is not redacted: it is part of what the server hashes, and `token=3/` is a common folder."""
    item: dict[str, object] = {"hash": link_digest(link.hashes), "path": link.path}
    ranges = parsed_json(link.byte_ranges)
    if ranges is not None:
        item["byte_ranges"] = ranges
    return encode(item)


def _redacted_metadata(text: str, redactor: Redactor) -> str:
    parsed = parsed_json(text)
    if parsed is None:
        return redactor.text(text)
    return encode(redactor.metadata(parsed) if isinstance(parsed, dict) else redactor.value(parsed))
