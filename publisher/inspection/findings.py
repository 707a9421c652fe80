"""What an inspection says of an object, and of all of them."""

from enum import StrEnum

from msgspec import Struct, field

from roar_publisher.inspection.subjects import Subject


class Finding(StrEnum):
    """The state of an object. `--json` shows the value."""

    PROVEN = "proven"
    MISSING = "missing"
    TRUNCATED = "truncated"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


WRONG = frozenset({Finding.MISSING, Finding.TRUNCATED, Finding.CHANGED})
"""Findings that contradict the lineage. What is unreadable may be right."""


class Inspected(Struct, frozen=True):
    """One object's finding.

    why: a sentence unless it is proven. read: bytes read in this run. tag: the version that was looked at; empty if
    there is none, or if it has no name.
    """

    subject: Subject
    finding: Finding
    why: str = ""
    read: int = 0
    tag: str = ""


class Inspection(Struct):
    """The findings of all objects, up to now.

    problems: those that are not proven. by_reading: proven by reading every byte. bytes_read: in this run.
    """

    counts: dict[Finding, int] = field(default_factory=lambda: dict.fromkeys(Finding, 0))
    by_reading: int = 0
    bytes_read: int = 0
    problems: list[Inspected] = field(default_factory=list)

    def add(self, inspected: Inspected, *, by_reading: bool) -> None:
        """Count one."""
        self.counts[inspected.finding] += 1
        self.by_reading += by_reading and inspected.finding is Finding.PROVEN
        if inspected.finding is not Finding.PROVEN:
            self.problems.append(inspected)

    @property
    def total(self) -> int:
        """How many objects were inspected."""
        return sum(self.counts.values())

    @property
    def wrong(self) -> int:
        """How many contradict the lineage."""
        return sum(self.counts[each] for each in WRONG)
