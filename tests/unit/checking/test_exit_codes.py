"""How `roar verify` ends: what was repaired is right, what was not is still wrong."""

from types import SimpleNamespace
from typing import cast

import pytest

from roar_publisher.checking.repair import Repaired
from roar_publisher.checking.service import Verified
from roar_publisher.exit_codes import ExitCode
from roar_publisher.inspection.findings import Finding, Inspected, Inspection
from roar_publisher.inspection.subjects import Subject
from roar_publisher.verification.check import Verification

PROVEN = cast(Verification, SimpleNamespace(proven=True))


def inspected(*findings: Finding) -> Inspection:
    found = Inspection()
    for number, finding in enumerate(findings):
        found.add(Inspected(Subject(f"s3://bucket/{number}", "ab" * 32), finding), by_reading=False)
    return found


@pytest.mark.parametrize(
    ("findings", "why", "code"),
    [
        ([Finding.MISSING, Finding.CHANGED], ["", ""], ExitCode.PUBLISHED),
        ([Finding.MISSING, Finding.CHANGED], ["", "no local file has its digest"], ExitCode.FAILED),
        ([Finding.TRUNCATED], ["no local file has its digest"], ExitCode.FAILED),
        ([Finding.MISSING, Finding.UNREADABLE], ["", "it is not known to be wrong"], ExitCode.UNCHECKED),
        ([Finding.MISSING], None, ExitCode.FAILED),
        ([Finding.UNREADABLE], None, ExitCode.UNCHECKED),
        ([Finding.PROVEN], None, ExitCode.PUBLISHED),
    ],
)
def test_what_could_not_be_repaired_is_wrong(findings: list[Finding], why: list[str] | None, code: ExitCode) -> None:
    inspection = inspected(*findings)
    repairs = None if why is None else [Repaired(*each) for each in zip(inspection.problems, why, strict=True)]
    assert Verified(PROVEN, inspection, repairs=repairs).exit_code is code
