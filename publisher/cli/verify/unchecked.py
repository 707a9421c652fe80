"""What keeps a lineage from being verified says nothing of the lineage, so it ends with an exit code of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from roar_publisher.cli.failure import describe_defect
from roar_publisher.state.errors import Interrupted, PublisherError, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.verification.errors import CannotCheck


@contextmanager
def unchecked() -> Iterator[None]:
    """Raise CannotCheck for every problem of this machine, a registry or the program itself."""
    try:
        yield
    except (CannotCheck, Interrupted, UsageProblem):
        raise
    except PublisherError as problem:
        raise CannotCheck(
            problem.what, kept=problem.kept, next_step=problem.next_step, reason=problem.reason
        ) from problem
    except Exception as defect:
        texts = describe_defect(defect)
        raise CannotCheck(texts.what, next_step=texts.next_step, reason=Reason.DEFECT) from defect
