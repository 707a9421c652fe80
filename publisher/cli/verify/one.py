"""`roar verify HASH|ID`: one published lineage."""

from contextlib import ExitStack
from functools import partial

from msgspec.structs import replace

from roar_publisher.checking.service import ObjectOrder, verify
from roar_publisher.checking.targets import named_target
from roar_publisher.cli.verify.progress import reading_line
from roar_publisher.cli.verify.running import run
from roar_publisher.cli.verify.show import show
from roar_publisher.cli.verify.unchecked import unchecked
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import Interrupted
from roar_publisher.state.paths import StateFolder


def verify_one(
    subject: str, registry: str | None, folder: StateFolder, objects: ObjectOrder | None, *, as_json: bool
) -> ExitCode:
    """Verify a lineage and, unless `objects` is None, its objects, and print the verdict.

    Raises CannotCheck, and Interrupted; what was read of the objects is recorded.
    """
    with ExitStack() as journals:
        try:
            with unchecked():
                order = replace(named_target(subject, registry, folder, journals), objects=objects)
                progress = reading_line(as_json=as_json)
                verdict = run(partial(verify, order, folder, watch=progress.begin), progress)
        except Interrupted as stopped:
            if objects is not None:
                stopped.kept = "What was read of the objects is recorded."
                stopped.next_step = "repeat the command with --resume"
            raise
        show(verdict, order, as_json=as_json)
    return verdict.exit_code
