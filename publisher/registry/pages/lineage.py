"""The page of a lineage: facts, labels, a picture, and its jobs in pages."""

from collections.abc import Mapping, Sequence
from html import escape

from roar_publisher.registry.lineages.job_views import JobView, LinkView
from roar_publisher.registry.lineages.page_views import LineagePageView
from roar_publisher.registry.pages.addresses import job_address
from roar_publisher.registry.pages.html import (
    COMMAND_SHOWN,
    SHORT_DIGEST,
    code,
    counted,
    crumbs,
    document,
    duration,
    facts_list,
    labels_table,
    link_row,
    moment,
    repository_link,
    short,
    text_of,
)
from roar_publisher.registry.pages.svg import picture_section


def lineage_page(shown: LineagePageView, *, first: int, jobs_per_page: int) -> str:
    """Return one page of a lineage, starting with the job `first`. Jobs count from 1."""
    view = shown.view
    facts = {
        "Repository": repository_link(view.git_repo),
        "Commit": code(view.git_commit),
        "Branch": code(view.git_branch),
        "Published": escape(moment(view.published_at)),
        "Holds": f"{counted(view.jobs_count, 'job')}, {counted(view.artifacts_count, 'artifact')}",
    }
    producers = {link.hash: job for job in view.jobs for link in job.outputs}
    navigation = _navigation(view.jobs_count, first, len(view.jobs), jobs_per_page)
    body = [
        f"{crumbs()}<h1>Lineage</h1>",
        f'<p class="hash mono">{escape(view.hash)}</p>',
        f'<div class="card">{facts_list(facts)}',
        labels_table(view.labels, opened=True),
        f"</div>{picture_section(shown.picture, view.hash)}<h2>Jobs</h2>{navigation}",
        *(_job(view.hash, job, producers) for job in view.jobs),
        navigation if view.jobs else "",
    ]
    return document(f"Lineage {view.hash[:SHORT_DIGEST]}", body)


def _job(lineage_hash: str, job: JobView, producers: Mapping[str, JobView]) -> str:
    step = "No step" if job.step_number is None else f"Step {job.step_number}"
    notes = [f'<span class="chip">{text_of(job.job_type)}</span>']
    if job.exit_code:
        notes.append(f'<span class="bad">exit {job.exit_code}</span>')
    if job.timestamp is not None:
        notes.append(f"<span>{escape(moment(job.timestamp))}</span>")
    if job.duration_seconds is not None:
        notes.append(f"<span>{duration(job.duration_seconds)}</span>")
    if job.parent_job_uid:
        parent = escape(job_address(lineage_hash, job.parent_job_uid))
        notes.append(f'<span>part of <a class="mono" href="{parent}">{short(job.parent_job_uid)}</a></span>')
    uid = escape(job.job_uid)
    address = escape(job_address(lineage_hash, job.job_uid))
    notes.append(f'<a class="mono" href="{address}" title="{uid}">{short(job.job_uid)}</a>')
    return (
        f'<article id="job-{uid}"><div class="head"><strong>{step}</strong>{"".join(notes)}</div>'
        f'<pre class="command mono">{text_of(job.command, COMMAND_SHOWN)}</pre><div class="links">'
        f'<section class="in"><h3>Inputs</h3>{_links(job.inputs, job.inputs_count, producers)}</section>'
        f'<section class="out"><h3>Outputs</h3>{_links(job.outputs, job.outputs_count, {})}</section></div>'
        f"{labels_table(job.labels, opened=False)}</article>"
    )


def _links(links: Sequence[LinkView], count: int, producers: Mapping[str, JobView]) -> str:
    if not links:
        return '<p class="empty">None</p>'
    rows = []
    for link in links:
        producer = producers.get(link.hash)
        maker = (
            "" if producer is None else f' <a href="#job-{escape(producer.job_uid)}">&larr; {_step_name(producer)}</a>'
        )
        rows.append(link_row(link.path, link.hash, link.size, maker=maker))
    more = f'<p class="empty">&hellip; and {count - len(links):,} more</p>' if count > len(links) else ""
    return f"<table>{''.join(rows)}</table>{more}"


def _step_name(job: JobView) -> str:
    return "earlier" if job.step_number is None else f"step {job.step_number}"


def _navigation(jobs: int, first: int, shown: int, jobs_per_page: int) -> str:
    """Return the links to other pages.

    A page with large jobs has fewer jobs, so the next page starts after the last one shown.
    """
    if jobs == 0:
        return '<p class="empty">This lineage has no jobs.</p>'
    if shown == jobs:
        return ""
    last = (jobs - 1) // jobs_per_page * jobs_per_page + 1
    range_shown = f"{first:,}&ndash;{first + shown - 1:,} of {jobs:,}" if shown else "past the end"
    targets = {
        "&laquo; First": 1,
        "&lsaquo; Previous": max(1, first - jobs_per_page),
        "Next &rsaquo;": first + shown,
        "Last &raquo;": last,
    }
    links = (
        f'<a href="?{_page_query(target, jobs_per_page)}">{name}</a>'
        for name, target in targets.items()
        if target != first and 1 <= target <= jobs
    )
    return f"<nav><span>{range_shown}</span>{''.join(links)}</nav>"


def _page_query(first: int, jobs_per_page: int) -> str:
    page, rest = divmod(first - 1, jobs_per_page)
    return f"from={first}" if rest else f"page={page + 1}"
