"""Parts that all pages share. All external data goes through `escape`."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from itertools import islice

from roar_publisher.registry.lineages.words import text_of_value
from roar_publisher.registry.pages.addresses import artifact_address, lineage_address, own_address
from roar_publisher.registry.pages.style import STYLE

SHORT_DIGEST = 12
"""Digits of a digest that a page shows. The title attribute has all of them."""
COMMAND_SHOWN, TEXT_SHOWN = 10_000, 500
"""Maximum characters of a command and of other untrusted texts that a page shows. The API returns them in full."""
LABELS_SHOWN = 100
"""Maximum rows of one label document that a page shows."""


def problem_page(title: str, detail: str, *, sign_in: str = "") -> str:
    """Return an error page. `sign_in` is the address at which the reader may sign in to see more."""
    hint = f'<p>To see private lineages, <a href="{escape(sign_in)}">sign in</a>.</p>' if sign_in else ""
    return document(title, [f"{crumbs()}<h1>{escape(title)}</h1><p>{escape(detail)}</p>{hint}"])


def crumbs(further: str = "") -> str:
    """Return the way from the front page to this page. `further` is a link."""
    more = f" &rsaquo; {further}" if further else ""
    return f'<p class="crumb"><a href="{own_address("/")}">Lineages</a>{more}</p>'


def document(title: str, body: Iterable[str]) -> str:
    """Return a page with this title."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<p class="account"><a href="{own_address("/account")}">Account</a></p>{"".join(body)}</main></body></html>'
    )


def search_form(query: str = "", kinds: Iterable[str] = (), kind: str = "") -> str:
    """Return the form that searches for words. With `kinds`, one of them can be chosen."""
    options = "".join(f"<option{' selected' if each == kind else ''}>{escape(each)}</option>" for each in kinds)
    choice = f'<select name="kind" aria-label="Where"><option value="">anywhere</option>{options}</select>'
    return (
        f'<form class="search" action="{own_address("/search")}" role="search">'
        f'<input type="search" name="q" value="{escape(query)}"'
        ' aria-label="Search for a digest, path, command, label or repository"'
        f' placeholder="digest, path, command, label, repository">{choice if options else ""}'
        "<button>Search</button></form>"
    )


def facts_list(facts: Mapping[str, str]) -> str:
    """Return a list of names with their values, which are HTML. Empty values are left out."""
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in facts.items() if value)}</dl>"


def labels_table(labels: Mapping[str, object], *, opened: bool) -> str:
    """Return a foldable table of a label document; empty if there are no labels."""
    if not labels:
        return ""
    count = _leaves(labels)
    more = f'<p class="empty">&hellip; and {count - LABELS_SHOWN:,} more</p>' if count > LABELS_SHOWN else ""
    rows = "".join(
        f'<tr><td class="fixed mono">{text_of(key)}</td><td>{text_of(text_of_value(value))}</td></tr>'
        for key, value in islice(_flattened("", labels), LABELS_SHOWN)
    )
    state = " open" if opened else ""
    return f"<details{state}><summary>{counted(count, 'label')}</summary><table>{rows}</table>{more}</details>"


def _leaves(document: Mapping[str, object]) -> int:
    return sum(_leaves(value) if isinstance(value, dict) and value else 1 for value in document.values())


def _flattened(prefix: str, document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flattened(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value


def repository_link(url: str | None) -> str:
    """Return a repository as a link, if its address is one of https."""
    text = escape(url or "")
    linked = text.startswith("https://") and len(text) <= TEXT_SHOWN
    return f'<a rel="nofollow noreferrer" href="{text}">{text}</a>' if linked else text_of(url)


def text_of(text: str | None, maximum: int = TEXT_SHOWN) -> str:
    """Escape an untrusted text. If it is cut, the number of omitted characters is appended."""
    text = text or ""
    left = len(text) - maximum
    return escape(text) if left <= 0 else f"{escape(text[:maximum])}&hellip; ({left:,} more characters)"


def beginning_of(text: str, maximum: int = TEXT_SHOWN) -> str:
    """Escape an untrusted text of which only the beginning may be known. If it is cut, an ellipsis is appended."""
    return escape(text) if len(text) <= maximum else f"{escape(text[:maximum])}&hellip;"


def short(name: str) -> str:
    """Return the first characters of a hash, digest or uid, escaped."""
    return escape(name[:SHORT_DIGEST])


def lineage_link(lineage_hash: str) -> str:
    """Return a short link to a lineage."""
    address, name = escape(lineage_address(lineage_hash)), escape(lineage_hash)
    return f'<a class="mono" href="{address}" title="{name}">{short(lineage_hash)}</a>'


def link_row(path: str, digest: str, size: int | None, *, maker: str = "") -> str:
    """Return the table row of an input or output. `maker` is HTML that follows the path."""
    artifact = f'<a href="{escape(artifact_address(digest))}" title="{escape(digest)}">{short(digest)}</a>'
    return (
        f'<tr><td><span class="mono">{text_of(path)}</span>{maker}</td><td class="fixed mono">{artifact}</td>'
        f'<td class="number">{"" if size is None else size_text(size)}</td></tr>'
    )


def code(text: str | None) -> str:
    """Return an untrusted text as code; empty if there is none."""
    return f"<code>{text_of(text)}</code>" if text else ""


def counted(count: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def moment(timestamp: float) -> str:
    """Format a time in UTC, to the second. A time outside the calendar's range is shown as a number."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def duration(seconds: float) -> str:
    """Return a duration in a unit that suits it."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    if round(seconds / 60, 1) < 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


def size_text(count: int) -> str:
    """Return a number of bytes in a unit that suits it."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if round(size, 1) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
