"""Lists of lineages: the front page, those of a repository, an owner or a project, and search results."""

from collections.abc import Iterable
from html import escape

from roar_publisher.registry.lineages.finding import HIT_KINDS, Hit, Listed, ListPage, SearchResult
from roar_publisher.registry.pages.addresses import artifact_address, job_address, lineage_address, list_address
from roar_publisher.registry.pages.html import TEXT_SHOWN, crumbs, document, lineage_link, moment, search_form, text_of

CURRENT = ' aria-current="page"'
TITLES = {None: "Lineages", "repository": "Repository", "owner": "Owner", "project": "Project"}
PLACES = {"command": "in a command", "path": "in a path", "label": "in a label", "repository": "in the repository"}


def list_page(page: ListPage, *, only: tuple[str, str] | None, visibility: str, is_first: bool) -> str:
    """Return one page of a list of lineages, newest first. `only` and `visibility` are as in `list_lineages`."""
    kind, value = only or (None, "")
    title = TITLES[kind]
    about = "Published on this registry, newest first." if only is None else text_of(value)
    body = [f'{crumbs()}<h1>{title}</h1><p class="hash">{about}</p>']
    if only is None:
        body.append(search_form())
    filters = [("all", None), ("public", "public"), ("private", "private")]
    links = (
        f'<a href="{escape(list_address(kind, value, visibility=given))}"'
        f"{CURRENT if (given or '') == visibility else ''}>{name}</a>"
        for name, given in filters
    )
    body.append(f'<nav aria-label="Visibility">{"".join(links)}</nav>')
    if page.entries:
        body.append(_table(page.entries))
    else:
        words = "Nothing is published yet." if only is None and is_first and not visibility else "No lineages."
        body.append(f'<div class="card empty">{words}</div>')
    if page.more:
        last = page.entries[-1]
        address = list_address(kind, value, visibility=visibility or None, at=repr(last.published_at), after=last.hash)
        body.append(f'<nav><a href="{escape(address)}">Earlier &rsaquo;</a></nav>')
    return document(title, body)


def search_page(query: str, kind: str, result: SearchResult) -> str:
    """Return what a search found. `kind` is one of `HIT_KINDS`, or empty for all."""
    body = [f"{crumbs()}<h1>Search</h1>", search_form(query, HIT_KINDS, kind)]
    for lineage_hash in result.lineages:
        address = escape(lineage_address(lineage_hash))
        body.append(f'<div class="card">Lineage <a class="mono" href="{address}">{escape(lineage_hash)}</a></div>')
    if result.artifact is not None:
        address = escape(artifact_address(result.artifact))
        body.append(f'<div class="card">Artifact <a class="mono" href="{address}">{escape(result.artifact)}</a></div>')
    if result.hits:
        body += ['<div class="card wide"><table><tr><th>Lineage<th>Found<th>Repository<th>Published</tr>']
        body += [_hit(hit) for hit in result.hits]
        body.append("</table></div>")
    elif query and not result.lineages and result.artifact is None:
        body.append('<div class="card empty">Nothing found.</div>')
    if not result.complete:
        body.append('<p class="empty">There is more: add a word, or type a longer one.</p>')
    return document("Search", body)


def _table(entries: Iterable[Listed]) -> str:
    rows = ['<div class="card wide"><table><tr><th>Lineage<th>Repository<th>Branch<th>Jobs<th>Published<th></tr>']
    for entry in entries:
        rows.append(
            f'<tr><td class="fixed">{lineage_link(entry.hash)}</td><td>{_repository(entry.git_repo)}</td>'
            f"<td>{text_of(entry.git_branch)}</td><td>{entry.jobs:,}</td>"
            f'<td class="fixed">{escape(moment(entry.published_at))}</td><td class="fixed">{_belongs(entry)}</td></tr>'
        )
    return f"{''.join(rows)}</table></div>"


def _repository(url: str | None) -> str:
    """Return a repository as a link to its lineages, if it is shown whole: longer addresses cannot be asked for."""
    if not url or len(url) > TEXT_SHOWN:
        return text_of(url)
    return f'<a href="{escape(list_address("repository", url))}">{text_of(url)}</a>'


def _belongs(entry: Listed) -> str:
    """Return links to the owner and project of a lineage, and whether it is private."""
    parts = ['<span class="chip">private</span>'] if entry.visibility != "public" else []
    if entry.owner:
        parts.append(f'<a href="{escape(list_address("owner", entry.owner))}">owner</a>')
    if entry.project:
        parts.append(f'<a href="{escape(list_address("project", entry.project))}">project</a>')
    return " ".join(parts)


def _hit(hit: Hit) -> str:
    address = ""
    if hit.entity and hit.kind == "command":
        address = job_address(hit.entry.hash, hit.entity)
    elif hit.entity and hit.kind == "path":
        address = artifact_address(hit.entity)
    word = f"<code>{text_of(hit.word)}</code> {PLACES[hit.kind]}"
    found = f'<a href="{escape(address)}">{word}</a>' if address else word
    entry = hit.entry
    return (
        f'<tr><td class="fixed">{lineage_link(entry.hash)}</td><td>{found}</td><td>{text_of(entry.git_repo)}</td>'
        f'<td class="fixed">{escape(moment(entry.published_at))}</td></tr>'
    )
