"""Debts: work after finalize that could not be done yet.

A debt does not undo the publish. The journal keeps each one until `roar publish --resume`, `roar journal retry` or the
daemon pays it.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from roar_publisher.state.reasons import Reason, reason_of

LABEL_SYNC = "roar label sync"
"""The command that sends labels which this program cannot send any more."""


class DebtKind(StrEnum):
    """The kind of a debt. The journal stores the value."""

    LABELS = "labels"
    REFUSED_LABELS = "refused labels"
    RECORD = "record"
    MARKS = "marks"
    TAG = "git tag"
    RECEIPT = "receipt"


_TEXTS = {
    DebtKind.LABELS: "the labels are still to be sent",
    DebtKind.REFUSED_LABELS: "some labels are still to be sent",
    DebtKind.RECORD: "the record of the put in roar.db is still to be written",
    DebtKind.MARKS: "the marks in roar.db are still to be written",
    DebtKind.TAG: "the git tag is still to be made",
    DebtKind.RECEIPT: "the receipt is still to be made",
}


class Debt(Struct, frozen=True):
    """One debt. why: a sentence. command: what else pays it, if anything."""

    what: DebtKind
    why: str
    reason: Reason
    command: str = ""

    @property
    def text(self) -> str:
        """The debt in words for the user."""
        return f"{_TEXTS[self.what]} ({self.why})" + (f"; to complete it: {self.command}" if self.command else "")

    @property
    def payable(self) -> bool:
        """Whether this program can pay the debt. Only roar can resend labels that the registry refused."""
        return self.what is not DebtKind.REFUSED_LABELS


def parse_debts(rows: Iterable[dict[str, str]]) -> tuple[Debt, ...]:
    """Return the debts from the journal's rows."""
    return tuple(
        Debt(DebtKind(row["what"]), row["why"], reason_of(row["reason"], otherwise=Reason.LOCAL), row["command"])
        for row in rows
    )
