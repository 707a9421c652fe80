"""What a published lineage still owes: work after finalize that could not be done yet.

None of it undoes the publish.  The journal keeps each debt until it is paid: by `roar publish --resume`,
`roar journal retry`, or the daemon.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class What(StrEnum):
    """The value is what the journal stores."""

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
    """why: a sentence.  reason: a code of `state.reasons`.  command: what else pays it, if there is anything."""

    what: What
    why: str
    reason: str
    command: str = ""

    @property
    def text(self) -> str:
        """As a person reads it."""
        return f"{_TEXTS[self.what]} ({self.why})" + (f"; pay it with: {self.command}" if self.command else "")

    @property
    def payable(self) -> bool:
        """Whether this program can pay it; labels that the registry turned down, only roar can send again."""
        return self.what is not What.REFUSED_LABELS


def debts_from(rows: Iterable[dict[str, str]]) -> tuple[Debt, ...]:
    """The debts as the journal keeps them."""
    return tuple(Debt(What(row["what"]), row["why"], row["reason"], row["command"]) for row in rows)
