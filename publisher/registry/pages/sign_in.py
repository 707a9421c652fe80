"""Pages for signing in and out. They have forms, which repeat the token of `api.forms`."""

from collections.abc import Mapping
from html import escape

from roar_publisher.registry.pages.forms import form, problem_note
from roar_publisher.registry.pages.html import crumbs, document


def sign_in_page(hidden: Mapping[str, str], problem: str = "") -> str:
    """Return the page that asks for a sign-in code or an access token. The form repeats the `hidden` fields."""
    body = [
        f"{crumbs()}<h1>Sign in</h1>",
        problem_note(problem),
        form(
            "/sign-in",
            hidden,
            '<p><label for="code">Sign-in code or access token</label></p>'
            '<p><input id="code" name="code" type="password" size="40" maxlength="8192" autocomplete="off" required'
            " autofocus></p><p><button>Sign in</button></p>",
        ),
        "<p>The registry&rsquo;s operator creates a code with <code>roar registry user sign-in NAME</code>. It works"
        " once. If you only want to read pages and have signed in with roar, you can enter the"
        " <code>access_token</code> in <code>~/.config/roar/auth.json</code> instead.</p>",
    ]
    return document("Sign in", body)


def account_page(name: str, hidden: Mapping[str, str]) -> str:
    """Return the page that says who is signed in, and signs out."""
    body = [
        f"{crumbs()}<h1>Account</h1>",
        f"<p>Signed in as <strong>{escape(name)}</strong>.</p>",
        form("/sign-out", hidden, "<p><button>Sign out</button></p>"),
    ]
    return document("Account", body)
