"""`user_program.py`, checked by pyright as a user would. mypy checks it with everything else."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("user_program.py")
PYRIGHT = Path(sys.executable).with_name("pyright")


def complaints(folder: Path, text: str) -> list[str]:
    """The lines that pyright, in its strict mode, complains about."""
    (folder / "program.py").write_text(f"# pyright: strict\n{text}", encoding="utf-8")
    command = [str(PYRIGHT), "--outputjson", "--pythonpath", sys.executable, "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        pytest.skip(f"pyright does not run here: {done.stderr[-200:]}")
    return [each["message"] for each in report["generalDiagnostics"]]


@pytest.mark.skipif(not PYRIGHT.exists() or not shutil.which("node"), reason="needs pyright and node")
def test_pyright_accepts_a_users_program(tmp_path: Path) -> None:
    text = PROGRAM.read_text(encoding="utf-8")
    assert complaints(tmp_path, text) == []
    # It looks, and knows the types.
    [complaint] = complaints(tmp_path, f"{text}\n\nassert_type(roar_publisher.publishes(), int)\n")
    assert "list[PublishStatus]" in complaint
