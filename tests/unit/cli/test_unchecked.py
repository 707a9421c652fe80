"""`roar verify` tells a difference from whatever kept it from looking."""

import pytest

from roar_publisher.cli.failure import report_error
from roar_publisher.cli.verify.unchecked import unchecked
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import Interrupted, LocalProblem, NeedsUser, Owned, Rejected, Transient, UsageProblem
from roar_publisher.verification.errors import CannotCheck


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LocalProblem("the disk is full"), ExitCode.UNCHECKED),
        (Transient("it is away"), ExitCode.UNCHECKED),
        (NeedsUser("it is not accepted"), ExitCode.UNCHECKED),
        (Rejected("it is refused"), ExitCode.UNCHECKED),
        (Owned("it is taken"), ExitCode.UNCHECKED),
        (CannotCheck("it is private"), ExitCode.UNCHECKED),
        (PermissionError("no"), ExitCode.UNCHECKED),
        (ExceptionGroup("", [OverflowError("a port")]), ExitCode.UNCHECKED),
        (UsageProblem("it is none"), ExitCode.USAGE),
        (Interrupted(), ExitCode.STOPPED),
    ],
)
def test_no_problem_of_this_machine_is_a_difference(
    error: Exception, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception) as caught, unchecked():  # noqa: PT011  # every error is one of these
        raise error
    assert report_error(caught.value, as_json=False) == code
    assert capsys.readouterr().err
