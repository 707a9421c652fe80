"""The page of what descends from an artifact."""

from html import escape

from roar_publisher.registry.lineages.impact import Descendant, Impact
from roar_publisher.registry.pages.addresses import artifact_address, impact_address, job_address
from roar_publisher.registry.pages.html import beginning_of, counted, crumbs, document, lineage_link, short, text_of

DESCENDANTS_PER_PAGE = 100


def impact_page(impact: Impact, page: int) -> str:
    """Return one page of what descends from an artifact. Pages count from 1."""
    count = len(impact.descendants)
    start = (page - 1) * DESCENDANTS_PER_PAGE
    origin = escape(artifact_address(impact.digest))
    about = (
        f"{counted(count, 'artifact')} by {counted(impact.jobs, 'job')} in {counted(impact.lineages, 'lineage')}"
        " that you may see"
    )
    if not impact.complete:
        about = f"At least {about}. Open one of the last ones to see what descends from it"
    body = [
        f"{crumbs()}<h1>What descends from an artifact</h1>",
        f'<p class="hash"><a class="mono" href="{origin}">{text_of(impact.digest)}</a></p><p>{about}.</p>',
    ]
    rows = [_row(each) for each in impact.descendants[start : start + DESCENDANTS_PER_PAGE]]
    if rows:
        body.append('<div class="card wide"><table><tr><th>Distance<th>Artifact<th>Written by<th>In lineage<th></tr>')
        body += [*rows, "</table></div>"]
    links = [("&lsaquo; Previous", page - 1)] if page > 1 else []
    links += [("Next &rsaquo;", page + 1)] if start + DESCENDANTS_PER_PAGE < count else []
    navigation = "".join(f'<a href="{escape(impact_address(impact.digest, page=to))}">{name}</a>' for name, to in links)
    body.append(f"<nav>{navigation}</nav>")
    return document("What descends from an artifact", body)


def _row(descendant: Descendant) -> str:
    made = descendant.made
    artifact, job = escape(artifact_address(made.digest)), escape(job_address(made.lineage, made.uid))
    further = escape(impact_address(made.digest))
    return (
        f'<tr><td>{descendant.distance}</td><td><a href="{artifact}" title="{escape(made.digest)}">'
        f'<span class="mono">{beginning_of(made.path)}</span></a></td>'
        f'<td class="fixed"><a class="mono" href="{job}">{short(made.uid)}</a></td>'
        f'<td class="fixed">{lineage_link(made.lineage)}</td>'
        f'<td class="fixed"><a href="{further}">descendants</a></td></tr>'
    )
