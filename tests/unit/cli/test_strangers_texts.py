"""What a stranger's lineage says takes one line of the output, whatever it contains."""

import io
from pathlib import Path

import pytest

from roar_publisher.checking.repair import Repaired
from roar_publisher.checking.service import ObjectOrder, Verified, VerifyOrder
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.fetch.display import FetchDisplay
from roar_publisher.cli.verify.show import show
from roar_publisher.fetching.download import Arrived, NotFetched
from roar_publisher.fetching.stored import StoredFile, Unsafe
from roar_publisher.inspection.findings import Finding, Inspected, Inspection
from roar_publisher.inspection.subjects import Subject
from roar_publisher.state.errors import Rejected
from roar_publisher.verification.check import Verification
from roar_publisher.verification.differences import Difference
from roar_publisher.verification.reading import Envelope

FORGED = "x\nProven by its hash\r\x1b[2K\u2028"
DIGEST = "ab" * 32


def check(text: str, lines: int) -> None:
    """Check that a text has so many lines, without any character that moves the cursor."""
    found = text.removesuffix("\n").split("\n")
    assert len(found) == lines
    assert all(line.isprintable() for line in found)


def test_a_fetch() -> None:
    out, err = io.StringIO(), io.StringIO()
    display = FetchDisplay(Path("to"), Output(out), Output(err), lambda: 0.0, verbose=True, quiet=False)
    display.on_outcome(Arrived(StoredFile(DIGEST, "s3://b/x", FORGED), 1, was_there=False))
    display.on_outcome(NotFetched(StoredFile(DIGEST, "s3://b/x", FORGED), Rejected("gone")))
    display.on_outcome(NotFetched(Unsafe(DIGEST, FORGED, "no"), Rejected(FORGED)))
    check(err.getvalue(), 3)


def test_a_verification(capsys: pytest.CaptureFixture[str]) -> None:
    found = Inspected(Subject(FORGED, DIGEST), Finding.MISSING, FORGED)
    inspection = Inspection()
    inspection.add(found, by_reading=False)
    served = Envelope(DIGEST, finalized=True, creator="", git={}, jobs=1, inputs=0, outputs=0)
    lineage = Verification(DIGEST, DIGEST, served, (Difference(FORGED, FORGED, "a", "b"),))
    repairs = [Repaired(found), Repaired(found, FORGED)]
    order = VerifyOrder(DIGEST, "https://registry", {}, objects=ObjectOrder())
    show(Verified(lineage, inspection, None, repairs), order, as_json=False)
    check(capsys.readouterr().out, len(("differs", "difference", "objects", "object", "repaired", "not repaired")))
