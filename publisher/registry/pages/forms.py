"""Parts of the pages that have forms."""

from collections.abc import Mapping
from html import escape

from roar_publisher.registry.pages.addresses import own_address


def form(path: str, hidden: Mapping[str, str], content: str) -> str:
    """Return a form that is sent to `path`. `hidden` are fields without an input."""
    fields = "".join(
        f'<input type="hidden" name="{escape(field)}" value="{escape(value)}">' for field, value in hidden.items()
    )
    return f'<form method="post" action="{own_address(path)}" class="card">{fields}{content}</form>'


def problem_note(text: str) -> str:
    """Return a note on what was wrong with a form; empty without a text."""
    return f'<p class="bad" role="alert">{escape(text)}</p>' if text else ""
