"""Debts: work after finalize that could not be done yet.

A debt does not undo the publish. The journal keeps each one until `roar publish --resume`, `roar journal retry` or the
daemon pays it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class What(StrEnum):
    """The kind of a debt. The journal stores the value."""

    LABELS = "labels"
    REFUSED_LABELS = "refused labels"
    RECORD = "record"
    MARKS = "marks"
    TAG = "git tag"


_TEXTS = {
    What.LABELS: "the labels are owed",
    What.REFUSED_LABELS: "some labels are owed",
    What.RECORD: "the put's record in roar.db is owed",
    What.MARKS: "the marks in roar.db are owed",
    What.TAG: "the git tag is owed",
}


@dataclass(frozen=True, slots=True)
class Debt:
    """One debt. why: a sentence. reason: a code of `state.reasons`. command: what else pays it, if anything."""

    what: What
    why: str
    reason: str
    command: str = ""

    @property
    def text(self) -> str:
        """The debt in words for the user."""
        return f"{_TEXTS[self.what]} ({self.why})" + (f"; pay it with: {self.command}" if self.command else "")

    @property
    def payable(self) -> bool:
        """Whether this program can pay the debt. Only roar can resend labels that the registry refused."""
        return self.what is not What.REFUSED_LABELS


def debts_from(rows: Iterable[dict[str, str]]) -> tuple[Debt, ...]:
    """Return the debts from the journal's rows."""
    return tuple(Debt(What(row["what"]), row["why"], row["reason"], row["command"]) for row in rows)
