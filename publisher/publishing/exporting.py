"""Writes an interrupted publish to a file, with which it moves to another machine (`importing`)."""

from pathlib import Path

from roar_publisher.lineage.config import load_config
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.planning.bundles.relocation import redact_record
from roar_publisher.planning.put.record import PutRecord
from roar_publisher.publishing.ownership import take_over
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.machine import LIVE
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.portable import pack
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan


def export_publish(paths: PublishPaths, folder: StateFolder, file: Path) -> int:
    """Write a publish to `file` and park it. Return the length of the file in bytes. The daemon releases it first.

    Raises UsageProblem if its lineage is published, it has ended or the file exists, Owned if another terminal works on
    it, LocalProblem if the file cannot be written. Repetition writes another file.
    """
    with take_over(paths, folder) as owned:
        plan, progress = owned.journal.plan(), owned.journal.progress()
        if progress.state not in LIVE:
            raise UsageProblem(
                f"publish {paths.id} is {progress.state}: nothing is left to move", next_step="roar journal list"
            )
        if progress.published:
            raise UsageProblem(
                f"publish {paths.id} is already published, and only follow-up work is left",
                kept="It was not moved.",
                next_step=f"roar publish --resume {paths.id}",
            )
        text = paths.read_put_record()
        record = None if text is None else redact_record(PutRecord.from_json(text), _redactor(plan)).as_json()
        length = pack(paths, owned.journal, record, file)
        owned.journal.park(reason=Reason.EXPORTED, detail=f"it is in {file.absolute()}")
    return length


def _redactor(plan: Plan) -> Redactor:
    """Return a redactor with the project's rules if it still exists, otherwise with the built-in ones."""
    try:
        return Redactor(load_config(Path(plan.project)).omit)
    except LocalProblem:
        return Redactor(OmitConfig())
