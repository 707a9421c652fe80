"""The consent of the user to what is sent: what was agreed to in advance. `cli` has a subclass that asks."""

from collections.abc import Mapping

import anyio

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.secret import Secret
from roar_publisher.state.errors import NeedsUser
from roar_publisher.text import count


class Declined(NeedsUser):
    """The user was asked and answered no."""

    def __init__(self) -> None:
        super().__init__("not published, because you declined", kept="Nothing was sent or kept.")

    def publish_cancelled(self, publish_id: str, text: str) -> None:
        """Report that the publish already existed and is cancelled. text: what follows from that."""
        self.kept = f"Publish {publish_id} is cancelled. {text}"
        self.publish_id = publish_id


class MissingConsent(NeedsUser):
    """The publish needs the user's consent, which was not given and cannot be asked for."""


class Consent:
    """What the user agreed to.

    yes: redactions, and publishing without a named owner. anonymous: the latter alone. how: what agrees to everything.
    """

    present = False
    """Whether the user can be asked."""

    def __init__(self, *, yes: bool, anonymous: bool = False, how: str = "--yes") -> None:
        self._yes = yes
        self._anonymous = anonymous
        self.how = how

    def accept_redactions(self, redactions: Mapping[str, int]) -> None:
        """Ensure that the redacted data may be published. Raises MissingConsent if not."""
        if self._yes:
            return
        total = count(sum(redactions.values()), "secret")
        raise MissingConsent(
            f"{total} would be redacted before publishing: {describe(redactions)}",
            kept="Nothing was sent or kept.",
            next_step=f"check with --dry-run, then repeat with {self.how}",
        )

    def accept_registry(self, origin: str, named_in: str) -> bool:
        """Return whether data may be sent to a registry that is new to this user.

        `yes` does not count, because it was given before the address was shown.
        """
        return False

    async def confirm(self, choice: Choice, stop: anyio.Event) -> bool:
        """Return whether a publish without a named owner may be sent."""
        return self._yes or self._anonymous

    def passphrase(self, prompt: str) -> Secret | None:
        """Return the passphrase of a key, or None."""
        return None


def describe(redactions: Mapping[str, int]) -> str:
    """Return what was redacted, with its number."""
    return ", ".join(f"{shape} ({number})" for shape, number in redactions.items())
