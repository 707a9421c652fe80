"""The put of a checkpoint: it reads the snapshot, and names the files as the training did."""

from pathlib import Path
from typing import cast

from roar_publisher.checkpoints.record import Record
from roar_publisher.checkpoints.snapshot import place
from roar_publisher.planning.put.request import Snapshot
from roar_publisher.publishing.arguments import Visibility, flag_of
from roar_publisher.publishing.order import Order, PutOrder


def order_of(record: Record) -> Order:
    """Return the order."""
    project = Path(record.project)
    snapshots = {}
    for number, source in enumerate(record.sources):
        original = project / source.typed
        path = place(record.snapshot, number, original, cloned=record.cloned)
        snapshots[source.typed] = Snapshot(path, source.files)
    return Order(
        cwd=project,
        flag=flag_of(cast(Visibility | None, record.visibility)),
        yes=record.yes,
        detach=True,
        registry=record.registry,
        named_by=record.named_by,
        put=PutOrder(
            sources=tuple(snapshots),
            destination=record.destination,
            message=record.message,
            tag=False,
            snapshots=snapshots,
            commit=record.commit,
        ),
    )
