"""A text that must not be seen."""

import hmac
from typing import NoReturn


class Secret:
    """A token, a passphrase or a private key, on its way to where it is needed.

    Every way of showing it shows a placeholder, and it cannot be pickled or copied; `reveal` is the only way in, so
    that a search for it finds every use.
    """

    __slots__ = ("_text",)
    __hash__ = None  # type: ignore[assignment]  # a secret is not a key to look things up by

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself.  Use it where it is sent, and keep it in no variable."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")
