"""`RoarCallback` for the Trainer of transformers: `pip install 'roar-publisher[transformers]'`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roar_publisher.extras import require

require("transformers", "RoarCallback")

from torch import distributed  # noqa: E402
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments  # noqa: E402
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR  # noqa: E402
from transformers.training_args import ParallelMode  # noqa: E402

from roar_publisher.integrations.submitting import Submitter, log  # noqa: E402
from roar_publisher.publishing.arguments import StrPath, Visibility  # noqa: E402


class RoarCallback(TrainerCallback):
    """Publishes each checkpoint folder that the Trainer saves.

    destination, visibility: as for `CheckpointPublisher`. publishing: its other arguments; by default, `best` and
    `mode` follow `metric_for_best_model` and `greater_is_better`. wait: the most seconds to wait at the end of the
    training until everything is published; other ranks do not wait, and their next collective may time out.

    Only the world's rank 0 publishes, and nothing of a hyperparameter search. A problem with a checkpoint is logged,
    and the training continues; a mistake in the arguments, or a project that no put could use, is raised when the
    training begins.
    """

    def __init__(
        self,
        destination: StrPath,
        *,
        visibility: Visibility | None,
        publishing: Mapping[str, Any] | None = None,
        wait: float = 0.0,
    ) -> None:
        self._submitter = Submitter(destination, visibility=visibility, publishing=publishing, wait=wait)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        if state.is_hyper_param_search:  # which saves in a folder for each trial, and does not name it
            log.warning("checkpoints of a hyperparameter search are not published")
            return
        best: dict[str, Any] = {}
        if args.metric_for_best_model is not None:
            name = args.metric_for_best_model
            best["best"] = name if name.startswith("eval_") else f"eval_{name}"
            best["mode"] = "max" if args.greater_is_better else "min"
        self._submitter.begin(**best)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        if args.parallel_mode == ParallelMode.DISTRIBUTED:
            distributed.barrier()  # each rank writes its part of the folder, and the Trainer does not wait for them
        folder = Path(args.output_dir or ".", f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")
        self._submitter.submit(folder, state.global_step, _metrics(state))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        self._submitter.end()


def _metrics(state: TrainerState) -> dict[str, Any]:
    """Return what was logged for this step."""
    found: dict[str, Any] = {}
    for entry in state.log_history:
        if entry.get("step") == state.global_step:
            found |= entry
    return {name: value for name, value in found.items() if name not in ("step", "epoch")}
