"""The pages of one job and of one artifact."""

import json
from collections.abc import Sequence
from html import escape

from roar_publisher.registry.lineages.job_views import shown_metadata
from roar_publisher.registry.lineages.node_views import JOBS_OF_LINEAGE, LinkPage, Use, ViewedArtifact, ViewedJob
from roar_publisher.registry.pages.addresses import artifact_address, impact_address, job_address, lineage_address
from roar_publisher.registry.pages.html import (
    COMMAND_SHOWN,
    SHORT_DIGEST,
    beginning_of,
    code,
    crumbs,
    document,
    duration,
    facts_list,
    labels_table,
    lineage_link,
    link_row,
    moment,
    size_text,
    text_of,
)

COMMAND_IN_LIST = 120
"""Characters of a command in a list."""


def job_page(viewed: ViewedJob) -> str:
    """Return the page of a job."""
    job, lineage = viewed.job.stored, viewed.lineage
    step = "Job without a step" if job.step_number is None else f"Step {job.step_number}"
    parent = ""
    if job.parent_uid:
        address = escape(job_address(lineage.hash, job.parent_uid))
        parent = f'<a class="mono" href="{address}">{text_of(job.parent_uid)}</a>'
    facts = {
        "Lineage": lineage_link(lineage.hash),
        "Uid": code(job.uid),
        "Type": text_of(job.job_type or "run"),
        "Part of": parent,
        "Exit code": "" if job.exit_code is None else _exit_code(job.exit_code),
        "Started": "" if job.timestamp is None else escape(moment(job.timestamp)),
        "Took": "" if job.duration_seconds is None else duration(job.duration_seconds),
        "Commit": code(job.git_commit),
        "Branch": code(job.git_branch),
    }
    picture = escape(lineage_address(lineage.hash, node=job.uid))
    body = [
        f"{crumbs(lineage_link(lineage.hash))}<h1>{step}</h1>",
        f'<pre class="command mono">{text_of(job.command, COMMAND_SHOWN)}</pre>',
        f'<div class="card">{facts_list(facts)}{labels_table(viewed.labels, opened=True)}',
        f"{_metadata(job.metadata)}</div>",
        f'<nav><a href="{picture}#picture">Show its place in the picture</a></nav><div class="links">',
        _links("Inputs", "in", viewed, viewed.inputs),
        _links("Outputs", "out", viewed, viewed.outputs),
        "</div>",
    ]
    return document(f"{step} of lineage {lineage.hash[:SHORT_DIGEST]}", body)


def artifact_page(viewed: ViewedArtifact) -> str:
    """Return the page of an artifact."""
    facts = viewed.facts
    digest = str(facts["hash"])
    hashes = "<br>".join(
        f"{text_of(str(each.get('algorithm')))} {code(str(each.get('digest')))}" for each in facts["hashes"]
    )
    shown = {
        "Path": f'<span class="mono">{text_of(facts["path"])}</span>' if facts["path"] else "",
        "Size": "" if facts["size"] is None else size_text(facts["size"]),
        "Digests": hashes,
        "Source": text_of(facts["source_type"]),
        "First in": lineage_link(str(facts["original_session_hash"])),
    }
    impact = f'<a href="{escape(impact_address(digest))}">What descends from it</a>'
    body = [
        f"{crumbs()}<h1>Artifact</h1>",
        f'<p class="hash mono">{text_of(digest)}</p>',
        f'<div class="card">{facts_list(shown)}{_artifact_labels(facts["labels"])}</div>',
        f"<nav>{impact}</nav><h2>Lineages with this artifact</h2>",
        *(_use(use, digest) for use in viewed.uses),
    ]
    if viewed.more:
        last = viewed.uses[-1].lineage
        address = artifact_address(digest, at=repr(last.published_at), after=last.hash)
        body.append(f'<nav><a href="{escape(address)}">Earlier lineages &rsaquo;</a></nav>')
    return document(f"Artifact {digest[:SHORT_DIGEST]}", body)


def _use(use: Use, digest: str) -> str:
    lineage = use.lineage
    head = (
        f'<div class="head"><strong>{lineage_link(lineage.hash)}</strong>'
        f"<span>{escape(moment(lineage.published_at))}</span><span>{text_of(lineage.git_repo)}</span></div>"
    )
    if not use.indexed:
        return f'<article>{head}<p class="empty">Its jobs are being indexed; reload in a moment.</p></article>'
    sections = []
    for name, style, jobs in (("Produced by", "out", use.writers), ("Used by", "in", use.readers)):
        rows = [
            f'<tr><td class="fixed"><a href="{escape(job_address(lineage.hash, job.uid))}">'
            f"{'job' if job.step_number is None else f'step {job.step_number}'}</a></td>"
            f'<td><span class="mono">{beginning_of(job.command, COMMAND_IN_LIST)}</span>'
            f'<br><span class="empty">as {beginning_of(job.path)}</span></td></tr>'
            for job in jobs[:JOBS_OF_LINEAGE]
        ]
        more = ""
        if len(jobs) > JOBS_OF_LINEAGE:
            address = escape(lineage_address(lineage.hash, node=digest))
            more = f'<p class="empty"><a href="{address}#picture">and more, in the picture</a></p>'
        table = f"<table>{''.join(rows)}</table>{more}" if rows else '<p class="empty">None</p>'
        sections.append(f'<section class="{style}"><h3>{name}</h3>{table}</section>')
    return f'<article>{head}<div class="links">{"".join(sections)}</div></article>'


def _links(title: str, style: str, viewed: ViewedJob, page: LinkPage) -> str:
    rows = [link_row(link.path, link.digest, link.size) for link in page.links]
    more = ""
    if page.after:
        address = job_address(viewed.lineage.hash, viewed.job.stored.uid, **{f"{title.lower()}_after": page.after})
        more = f'<nav><a href="{escape(address)}">More {title.lower()} &rsaquo;</a></nav>'
    table = f"<table>{''.join(rows)}</table>{more}" if rows else '<p class="empty">None</p>'
    return f'<section class="{style}"><h3>{title}: {page.count:,}</h3>{table}</section>'


def _artifact_labels(documents: Sequence[dict[str, object]]) -> str:
    merged: dict[str, object] = {}
    for each in documents:  # the last one takes precedence
        metadata = each.get("metadata")
        merged.update(metadata if isinstance(metadata, dict) else {})
    return labels_table(merged, opened=True)


def _metadata(text: str | None) -> str:
    if not text:
        return ""
    document = shown_metadata(text)
    shown = document if isinstance(document, str) else json.dumps(document, indent=2, ensure_ascii=False)
    beginning = beginning_of(shown, COMMAND_SHOWN)
    return f'<details><summary>Metadata</summary><pre class="command mono">{beginning}</pre></details>'


def _exit_code(number: int) -> str:
    return f'<span class="bad">{number}</span>' if number else "0"
