"""The callbacks in real, small trainings of the real frameworks.

They run if the frameworks are installed, or in the interpreter that ROAR_TEST_FRAMEWORKS names. An exhaustive run
installs them (1 GB and more) into an environment of its own.
"""

import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.checkpoints import drain, in_fork
from tests.support.cli.program import Program
from tests.support.sampling import EXHAUSTIVE

FRAMEWORKS = ("lightning", "transformers", "accelerate")
TIMEOUT_SECONDS = 600

LIGHTNING = """\
import os, sys
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.plugins.io.wrapper import _WrappingCheckpointIO
from torch.utils.data import DataLoader, TensorDataset
from roar_publisher.integrations.lightning import RoarCheckpoint

class WrappedIO(_WrappingCheckpointIO):
    pass

class Line(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, number):
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("loss", loss)
        return loss
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

store, registry, devices, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
resumed = sys.argv[5] if len(sys.argv) > 5 and sys.argv[5] != "async" else None
plugins = [WrappedIO(AsyncCheckpointIO())] if sys.argv[-1] == "async" else []
saving = RoarCheckpoint(
    store, visibility="public", publishing={"registry": registry, "yes": True, "start_daemon": False},
    dirpath="outputs", filename="{step}", every_n_train_steps=2, save_top_k=-1, save_last=True,
)
trainer = Trainer(
    max_steps=steps, callbacks=[saving], accelerator="cpu", devices=devices,
    strategy="ddp" if devices > 1 else "auto", plugins=plugins,
    logger=False, enable_progress_bar=False, enable_model_summary=False,
)
torch.manual_seed(1)
data = DataLoader(TensorDataset(torch.randn(16, 4)), batch_size=2)
trainer.fit(Line(), data, ckpt_path=resumed)
"""
TRANSFORMERS = """\
import os, sys, time
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from roar_publisher.integrations.transformers import RoarCallback

store, registry, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = BertForSequenceClassification(BertConfig(
    vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
    max_position_embeddings=8,
))

class Late(Trainer):
    def _save_rng_state(self, output_dir):
        time.sleep(int(os.environ.get("RANK", 0)))  # in life a slow disk of one rank; in a test it has to be certain
        super()._save_rng_state(output_dir)

data = [{"input_ids": torch.tensor([1, 2]), "labels": torch.tensor(n % 2)} for n in range(16)]
trainer = Late(
    model=model, train_dataset=data, eval_dataset=data[:2],
    args=TrainingArguments(
        output_dir="outputs", max_steps=steps, save_steps=2, eval_steps=2, eval_strategy="steps", save_total_limit=2,
        per_device_train_batch_size=2, use_cpu=True, report_to=[], disable_tqdm=True,
        ddp_backend="gloo" if "RANK" in os.environ else None,
    ),
    callbacks=[RoarCallback(
        store, visibility="public", publishing={"registry": registry, "yes": True, "start_daemon": False},
    )],
)
trainer.train(resume_from_checkpoint=steps > 4)
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has the frameworks."""
    if all(map(find_spec, FRAMEWORKS)):
        return sys.executable
    if named := os.environ.get("ROAR_TEST_FRAMEWORKS"):
        return named
    if not EXHAUSTIVE:
        pytest.skip("no training framework is installed, and ROAR_TEST_FRAMEWORKS names no interpreter with them")
    python = tmp_path_factory.mktemp("frameworks") / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-e", f"{CHECKOUT}[lightning,transformers]"], check=True)
    return str(python)


def train(interpreter: str, script: str, program: Program, *arguments: object, ranks: int = 1) -> str:
    """Run a training in the program's project, and return its stderr. ranks: the processes that torchrun starts."""
    path = program.cwd.parent / "train.py"  # a file, because DDP starts it once for each rank
    path.write_text(script)
    start = [interpreter, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}"] if ranks > 1 else [interpreter]
    done = subprocess.run(
        [*start, str(path), *map(str, arguments)],
        cwd=program.cwd,
        env=program.env | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def published(program: Program, store: Path) -> list[str]:
    """Publish what is due, and return every file in the store."""
    assert in_fork(partial(drain, program.state))
    return sorted(path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file())


@pytest.mark.parametrize("devices", [1, 2])
def test_lightning(
    interpreter: str, program: Program, project: Path, registry: str, tmp_path: Path, devices: int
) -> None:
    store = tmp_path / "store"
    train(interpreter, LIGHTNING, program, store, registry, devices, 6)
    first = published(program, store)
    assert first == ["step-00000006/step=6.ckpt"], "the newest, once; only rank 0 submits"
    train(interpreter, LIGHTNING, program, store, registry, devices, 8, "outputs/last.ckpt")
    assert published(program, store) == [*first, "step-00000008/step=8.ckpt"], "a resumed run continues the series"


def test_lightning_with_checkpoints_that_are_written_later(
    interpreter: str, program: Program, project: Path, registry: str, tmp_path: Path
) -> None:
    """The file that a name has when the plugin returns may be that of the save before."""
    with pytest.raises(AssertionError, match="AsyncCheckpointIO does not say when"):
        train(interpreter, LIGHTNING, program, tmp_path / "store", registry, 1, 6, "async")


def test_transformers(interpreter: str, program: Program, project: Path, registry: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    train(interpreter, TRANSFORMERS, program, store, registry, 4)
    first = published(program, store)
    assert {name.split("/")[0] for name in first} == {"step-00000004"}
    assert {"step-00000004/model.safetensors", "step-00000004/trainer_state.json"} <= set(first)
    train(interpreter, TRANSFORMERS, program, store, registry, 6)
    assert {name.split("/")[0] for name in published(program, store)} == {"step-00000004", "step-00000006"}


def test_transformers_on_several_ranks(
    interpreter: str, program: Program, project: Path, registry: str, tmp_path: Path
) -> None:
    """Each rank writes its part of a checkpoint, and the Trainer calls the callbacks without waiting for the others."""
    store = tmp_path / "store"
    train(interpreter, TRANSFORMERS, program, store, registry, 2, ranks=2)
    parts = {"step-00000002/rng_state_0.pth", "step-00000002/rng_state_1.pth"}
    assert parts <= set(published(program, store))
