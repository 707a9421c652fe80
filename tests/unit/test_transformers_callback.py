"""`RoarCallback` in what no small training does; real ones run in e2e/python/test_frameworks.py.

The modules of transformers and PyTorch are stand-ins with the names that the callback imports.
"""

import logging
import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from roar_publisher import extras, integrations
from roar_publisher.integrations import submitting

MODULE = "roar_publisher.integrations.transformers"
STAND_INS: dict[str, dict[str, Any]] = {
    "torch": {"distributed": None},
    "transformers": dict.fromkeys(("TrainerControl", "TrainerState", "TrainingArguments"), SimpleNamespace)
    | {"TrainerCallback": object},
    "transformers.trainer_utils": {"PREFIX_CHECKPOINT_DIR": "checkpoint"},
    "transformers.training_args": {"ParallelMode": SimpleNamespace(DISTRIBUTED="distributed")},
}
ARGUMENTS = SimpleNamespace(metric_for_best_model=None, parallel_mode="none", output_dir="outputs")


@pytest.fixture
def callback(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A callback of the module, which is imported with the stand-ins."""
    for name, attributes in STAND_INS.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(extras.NEEDED, "transformers", ())
    monkeypatch.setitem(sys.modules, MODULE, None)
    del sys.modules[MODULE]  # and with the test, the module that is imported in its place
    monkeypatch.setattr(integrations, "transformers", None, raising=False)
    return import_module(MODULE).RoarCallback("store", visibility="public")


def test_nothing_of_a_hyperparameter_search_is_published(
    callback: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A trial saves in a folder of its own: the one that callbacks know may hold a checkpoint of another training."""
    submitted: list[tuple[str, int]] = []
    publisher = SimpleNamespace(submit=lambda path, *, step, metrics: submitted.append((str(path), step)))
    monkeypatch.setattr(submitting, "CheckpointPublisher", lambda *args, **kwargs: publisher)
    state = SimpleNamespace(
        is_world_process_zero=True, is_hyper_param_search=True, global_step=2, log_history=[{"step": 2, "loss": 0.5}]
    )
    with caplog.at_level(logging.WARNING, "roar_publisher"):
        callback.on_train_begin(ARGUMENTS, state, None)
        callback.on_save(ARGUMENTS, state, None)
    assert submitted == []
    assert [record.message for record in caplog.records] == ["checkpoints of a hyperparameter search are not published"]
    state.is_hyper_param_search = False
    callback.on_train_begin(ARGUMENTS, state, None)
    callback.on_save(ARGUMENTS, state, None)
    assert submitted == [("outputs/checkpoint-2", 2)]
