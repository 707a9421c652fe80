"""HTML pages of published lineages. All external data goes through `escape`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import islice

from roar_publisher.registry.lineages.job_views import JobView, LinkView
from roar_publisher.registry.lineages.reading import LineageView, RecentLineage
from roar_publisher.registry.pages.style import STYLE

SHORT_DIGEST = 12
"""Digits of a digest that a page shows. The title attribute has all of them."""
COMMAND_SHOWN, TEXT_SHOWN = 10_000, 500
"""Maximum characters of a command and of other untrusted texts that a page shows. The API returns them in full."""
LABELS_SHOWN = 100
"""Maximum rows of one label document that a page shows."""


def lineage_page(view: LineageView, *, first: int, jobs_per_page: int) -> str:
    """Return one page of a lineage, starting with the job `first`. Jobs count from 1."""
    facts = {
        "Repository": _repository(view.git_repo),
        "Commit": _code(view.git_commit),
        "Branch": _code(view.git_branch),
        "Published": escape(_moment(view.published_at)),
        "Holds": f"{_counted(view.jobs_count, 'job')}, {_counted(view.artifacts_count, 'artifact')}",
    }
    producers = {link.hash: job for job in view.jobs for link in job.outputs}
    navigation = _navigation(view.jobs_count, first, len(view.jobs), jobs_per_page)
    body = [
        '<p class="crumb"><a href="/">Lineages</a></p><h1>Lineage</h1>',
        f'<p class="hash mono">{escape(view.hash)}</p>',
        '<div class="card"><dl>',
        *(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value),
        "</dl>",
        _labels(view.labels, opened=True),
        f"</div><h2>Jobs</h2>{navigation}",
        *(_job(job, producers) for job in view.jobs),
        navigation if view.jobs else "",
    ]
    return document(f"Lineage {view.hash[:SHORT_DIGEST]}", body)


def recent_page(lineages: Sequence[RecentLineage]) -> str:
    """Return the list of the newest lineages."""
    body = ["<h1>Lineages</h1>", '<p class="hash">Published on this registry, the newest first.</p>']
    if not lineages:
        body.append('<div class="card empty">Nothing is published yet.</div>')
        return document("Lineages", body)
    body.append('<div class="card"><table><tr><th>Lineage<th>Repository<th>Branch<th>Jobs<th>Published</tr>')
    for lineage in lineages:
        name = escape(lineage.hash)
        body.append(
            f'<tr><td class="fixed"><a class="mono" href="/dag/{name}" title="{name}">{name[:SHORT_DIGEST]}</a></td>'
            f"<td>{_text(lineage.git_repo)}</td><td>{_text(lineage.git_branch)}</td>"
            f'<td>{lineage.jobs_count:,}</td><td class="fixed">{escape(_moment(lineage.published_at))}</td></tr>'
        )
    body.append("</table></div>")
    return document("Lineages", body)


def problem_page(title: str, detail: str) -> str:
    """Return an error page."""
    return document(
        title, [f'<p class="crumb"><a href="/">Lineages</a></p><h1>{escape(title)}</h1><p>{escape(detail)}</p>']
    )


def document(title: str, body: Iterable[str]) -> str:
    """Return a page with this title."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>"
    )


def _job(job: JobView, producers: Mapping[str, JobView]) -> str:
    step = "No step" if job.step_number is None else f"Step {job.step_number}"
    notes = [f'<span class="chip">{_text(job.job_type)}</span>']
    if job.exit_code:
        notes.append(f'<span class="bad">exit {job.exit_code}</span>')
    if job.timestamp is not None:
        notes.append(f"<span>{escape(_moment(job.timestamp))}</span>")
    if job.duration_seconds is not None:
        notes.append(f"<span>{_duration(job.duration_seconds)}</span>")
    if job.parent_job_uid:
        parent = escape(job.parent_job_uid)
        notes.append(f'<span>part of <a class="mono" href="#job-{parent}">{parent[:SHORT_DIGEST]}</a></span>')
    uid = escape(job.job_uid)
    notes.append(f'<a class="mono" href="#job-{uid}" title="{uid}">{uid[:SHORT_DIGEST]}</a>')
    return (
        f'<article id="job-{uid}"><div class="head"><strong>{step}</strong>{"".join(notes)}</div>'
        f'<pre class="command mono">{_text(job.command, COMMAND_SHOWN)}</pre><div class="links">'
        f'<section class="in"><h3>Inputs</h3>{_links(job.inputs, job.inputs_count, producers)}</section>'
        f'<section class="out"><h3>Outputs</h3>{_links(job.outputs, job.outputs_count, {})}</section></div>'
        f"{_labels(job.labels, opened=False)}</article>"
    )


def _links(links: Sequence[LinkView], count: int, producers: Mapping[str, JobView]) -> str:
    if not links:
        return '<p class="empty">None</p>'
    rows = []
    for link in links:
        digest = escape(link.hash)
        producer = producers.get(link.hash)
        source = (
            "" if producer is None else f' <a href="#job-{escape(producer.job_uid)}">&larr; {_step_name(producer)}</a>'
        )
        rows.append(
            f'<tr><td><span class="mono">{_text(link.path)}</span>{source}</td>'
            f'<td class="fixed mono" title="{digest}">{digest[:SHORT_DIGEST]}</td>'
            f'<td class="number">{"" if link.size is None else _size(link.size)}</td></tr>'
        )
    more = f'<p class="empty">&hellip; and {count - len(links):,} more</p>' if count > len(links) else ""
    return f"<table>{''.join(rows)}</table>{more}"


def _labels(labels: Mapping[str, object], *, opened: bool) -> str:
    if not labels:
        return ""
    count = _leaves(labels)
    more = f'<p class="empty">&hellip; and {count - LABELS_SHOWN:,} more</p>' if count > LABELS_SHOWN else ""
    rows = "".join(
        f'<tr><td class="fixed mono">{_text(key)}</td><td>{_text(str(value))}</td></tr>'
        for key, value in islice(_flattened("", labels), LABELS_SHOWN)
    )
    state = " open" if opened else ""
    return f"<details{state}><summary>{_counted(count, 'label')}</summary><table>{rows}</table>{more}</details>"


def _leaves(document: Mapping[str, object]) -> int:
    return sum(_leaves(value) if isinstance(value, dict) and value else 1 for value in document.values())


def _flattened(prefix: str, document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flattened(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value


def _navigation(jobs: int, first: int, shown: int, jobs_per_page: int) -> str:
    """Return the links to other pages.

    A page with large jobs has fewer jobs, so the next page starts after the last one shown.
    """
    if jobs == 0:
        return '<p class="empty">This lineage has no jobs.</p>'
    if shown == jobs:
        return ""
    last = (jobs - 1) // jobs_per_page * jobs_per_page + 1
    place = f"{first:,}&ndash;{first + shown - 1:,} of {jobs:,}" if shown else "past the end"
    targets = {
        "&laquo; First": 1,
        "&lsaquo; Previous": max(1, first - jobs_per_page),
        "Next &rsaquo;": first + shown,
        "Last &raquo;": last,
    }
    links = (
        f'<a href="?{_place(target, jobs_per_page)}">{name}</a>'
        for name, target in targets.items()
        if target != first and 1 <= target <= jobs
    )
    return f"<nav><span>{place}</span>{''.join(links)}</nav>"


def _place(first: int, jobs_per_page: int) -> str:
    page, rest = divmod(first - 1, jobs_per_page)
    return f"from={first}" if rest else f"page={page + 1}"


def _repository(url: str | None) -> str:
    text = escape(url or "")
    linked = text.startswith("https://") and len(text) <= TEXT_SHOWN
    return f'<a rel="nofollow noreferrer" href="{text}">{text}</a>' if linked else _text(url)


def _text(text: str | None, maximum: int = TEXT_SHOWN) -> str:
    """Escape an untrusted text. If it is cut, the number of omitted characters is appended."""
    text = text or ""
    left = len(text) - maximum
    return escape(text) if left <= 0 else f"{escape(text[:maximum])}&hellip; ({left:,} more characters)"


def _code(text: str | None) -> str:
    return f"<code>{_text(text)}</code>" if text else ""


def _step_name(job: JobView) -> str:
    return "earlier" if job.step_number is None else f"step {job.step_number}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _moment(timestamp: float) -> str:
    """Format a time in UTC, to the second. A time outside the calendar's range is shown as a number."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
