"""`RoarCheckpoint` for Lightning: `pip install 'roar-publisher[lightning]'`."""

from collections.abc import Mapping
from typing import Any

from roar_publisher.extras import require

require("lightning", "RoarCheckpoint")

from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from lightning.pytorch.plugins.io import AsyncCheckpointIO  # noqa: E402

from roar_publisher.integrations.submitting import Submitter  # noqa: E402
from roar_publisher.publishing.arguments import StrPath, Visibility  # noqa: E402
from roar_publisher.state.errors import UsageProblem  # noqa: E402


class RoarCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, whose checkpoints are published, too.

    destination, visibility: as for `CheckpointPublisher`. publishing: its other arguments; by default, `best` and
    `mode` are the checkpoint's `monitor` and `mode`. wait: the most seconds to wait at the end of the training until
    everything is published; other ranks do not wait, and their next collective may time out. checkpoint: the arguments
    of `ModelCheckpoint`; `dirpath` must be a folder of this machine.

    Only the global rank 0 publishes. A problem with a checkpoint is logged, and the training continues; a mistake in
    the arguments, or a project that no put could use, is raised when the training begins. So is UsageProblem for
    `AsyncCheckpointIO`: it returns before a checkpoint is written, and has no hook that says when it is.
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
        self._submitter = Submitter(destination, visibility=visibility, publishing=publishing, wait=wait)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        _refuse_async(trainer)  # on every rank: the others would wait for one that fails alone
        if trainer.is_global_zero:
            self._submitter.begin(**({"best": self.monitor, "mode": self.mode} if self.monitor is not None else {}))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().teardown(trainer, pl_module, stage)
        self._submitter.end()

    # ModelCheckpoint saves in many places, all of which end here. `Logger.after_save_checkpoint`, the public hook, does
    # not name the file. Every rank has written its part when this returns.
    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self._submitter.submit(filepath, trainer.global_step, trainer.callback_metrics)


def _refuse_async(trainer: Trainer) -> None:
    """Raise UsageProblem if checkpoints are written in the background. The plugin may be wrapped in another one."""
    plugin: Any = trainer.strategy.checkpoint_io
    while plugin is not None:
        if isinstance(plugin, AsyncCheckpointIO):
            raise UsageProblem(
                "the plugin AsyncCheckpointIO does not say when a checkpoint is written, so it cannot be published",
                next_step="leave the plugin out (the checkpoint is uploaded in the background anyway)",
            )
        plugin = getattr(plugin, "checkpoint_io", None)
