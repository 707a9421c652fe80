"""A string that must not be displayed."""

import hmac
from typing import NoReturn


class Secret:
    """A token, a passphrase or a private key.

    Every representation shows a placeholder, and it cannot be pickled or copied. `reveal` is the only access, so
    searching for it finds every use.
    """

    __slots__ = ("_text",)
    __hash__ = None  # type: ignore[assignment]  # secrets must not be dictionary keys

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Use it directly where it is sent; do not store it in a variable."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")
