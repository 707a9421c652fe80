"""Pages of the device flow: the code, the confirmation, the outcome."""

from collections.abc import Mapping
from html import escape

from roar_publisher.registry.pages.forms import form, problem_note
from roar_publisher.registry.pages.html import crumbs, document

ALLOW, REFUSE = "allow", "refuse"
"""Values of the field `decision`."""


def code_page(hidden: Mapping[str, str], problem: str = "") -> str:
    """Return the page that asks for the code that a program shows. The form repeats the `hidden` fields."""
    body = [
        f"{crumbs()}<h1>Sign in a program</h1>",
        problem_note(problem),
        form(
            "/device",
            hidden,
            '<p><label for="user_code">Code that the program shows</label></p>'
            '<p><input id="user_code" name="user_code" size="12" maxlength="40" autocomplete="off" spellcheck="false"'
            ' autocapitalize="characters" required autofocus></p><p><button>Continue</button></p>',
        ),
    ]
    return document("Sign in a program", body)


def confirm_page(user_code: str, facts: Mapping[str, str], hidden: Mapping[str, str]) -> str:
    """Return the page that asks whether to allow the program with this code. `facts` are shown by their names."""
    buttons = (
        f'<p><button name="decision" value="{ALLOW}">Allow</button>'
        f' <button name="decision" value="{REFUSE}">Refuse</button></p>'
    )
    shown = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    body = [
        f"{crumbs()}<h1>Allow this program?</h1>",
        "<p>It will be able to read and publish everything that you can. Allow it only if you have just started it"
        " yourself, and it shows this code.</p>",
        form("/device/decision", {**hidden, "user_code": user_code}, f"<dl>{shown}</dl>{buttons}"),
    ]
    return document("Allow this program?", body)


def decided_page(program: str, *, allowed: bool) -> str:
    """Return the page that says what was decided."""
    name = escape(program)
    outcome = f"{name} is signed in. You can close this page." if allowed else f"{name} was refused."
    return document("Done", [f"{crumbs()}<h1>Done</h1><p>{outcome}</p>"])
