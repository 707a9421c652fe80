"""`RoarCheckpoint` for Lightning: `pip install 'roar-publisher[lightning]'`."""

import logging
from collections.abc import Mapping
from typing import Any

from roar_publisher.extras import require

require("lightning", "RoarCheckpoint")

from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402

from roar_publisher.checkpoints.publisher import CheckpointPublisher  # noqa: E402
from roar_publisher.publishing.arguments import StrPath, Visibility  # noqa: E402
from roar_publisher.state.errors import PublisherError  # noqa: E402

log = logging.getLogger("roar_publisher")


class RoarCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, whose checkpoints are published, too.

    destination, visibility: as for `CheckpointPublisher`. publishing: its other arguments; by default, `best` and
    `mode` are the checkpoint's `monitor` and `mode`. wait: the most seconds to wait at the end of the training until
    everything is published. checkpoint: the arguments of `ModelCheckpoint`; `dirpath` must be a folder of this machine.

    Only the global rank 0 publishes. A problem with a checkpoint is logged, and the training continues; a mistake in
    the arguments, or a project that no put could use, is raised when the training begins.
    """

    def __init__(
        self,
        destination: StrPath,
        *,
        visibility: Visibility | None,
        publishing: Mapping[str, Any] | None = None,
        wait: float = 0.0,
        **checkpoint: Any,
    ) -> None:
        super().__init__(**checkpoint)
        self._destination = destination
        best = {"best": self.monitor, "mode": self.mode} if self.monitor is not None else {}
        self._publishing = {"visibility": visibility, **best, **(publishing or {})}
        self._wait = wait
        self._publisher: CheckpointPublisher | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and trainer.is_global_zero and self._publisher is None:
            self._publisher = CheckpointPublisher(self._destination, **self._publishing)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().teardown(trainer, pl_module, stage)
        if self._publisher is not None:
            self._publisher.close(wait=self._wait)
            self._publisher = None

    # ModelCheckpoint saves in many places, all of which end here. `Logger.after_save_checkpoint`, the public hook, does
    # not name the file.
    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        if self._publisher is None:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        try:
            self._publisher.submit(filepath, step=trainer.global_step, metrics=metrics)
        except PublisherError as problem:
            log.error("%s; next: %s", problem.what, problem.next_step)
