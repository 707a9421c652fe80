"""The files that make GitHub and GitLab run the script."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from roar_publisher import __version__
from tests.support.checkout import CHECKOUT

FOLDER = CHECKOUT / "integrations"
ACTION, TEMPLATE = FOLDER / "github" / "action.yml", FOLDER / "gitlab" / "roar-publish.yml"
INPUTS = (FOLDER / "roar-publish-ci").read_text(encoding="utf-8")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("schema", "path"), [("github-actions", ACTION), ("gitlab-ci", TEMPLATE)])
def test_a_file_follows_the_schema_of_its_service(schema: str, path: Path) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    subprocess.run([checker, "--builtin-schema", f"vendor.{schema}", path], check=True, timeout=60)


OLD_PYTHON = """\
import sys
sys.version_info = (3, 10, 12, "final", 0)
exec(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("service", "says"),
    [("github", "::error title=roar::python3 is older than 3.11"), ("gitlab", "roar needs Python 3.11 or later")],
)
def test_a_python_that_is_too_old_is_named(service: str, says: str, tmp_path: Path) -> None:
    """That of the runner's own system, which pip would refuse in words of its own."""
    if service == "github":
        commands = read(ACTION)["runs"]["steps"][0]["run"]
    else:
        commands = "set -e\n" + "\n".join(read(TEMPLATE)[".roar-publish"]["before_script"])
    (tmp_path / "old.py").write_text(OLD_PYTHON)
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "old.py"} "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", commands],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "RUNNER_TEMP": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"old.py", "python3"}, "nothing was installed"


def test_no_input_of_the_action_is_put_into_a_command() -> None:
    action = read(ACTION)
    steps = action["runs"]["steps"]
    assert [step["run"] for step in steps if "${{" in step["run"]] == []
    assert [step["uses"] for step in steps if "uses" in step] == [], "nothing but this commit is run"
    passed = {value for step in steps for value in step["env"].values()}
    assert passed == {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}
    assert action["inputs"]["visibility"].get("default") is None, "what is made public is said"


def test_the_script_knows_every_variable_that_is_set() -> None:
    names = {name for step in read(ACTION)["runs"]["steps"] for name in step["env"]} - {"EXTRAS"}
    names |= set(read(TEMPLATE)[".roar-publish"]["variables"]) - {"ROAR_PUBLISHER_PACKAGE"}
    assert len(names) > 8
    assert [name for name in names if f"#   {name} " not in INPUTS] == []


def test_the_template_puts_no_variable_into_a_command_and_installs_this_release() -> None:
    job = read(TEMPLATE)[".roar-publish"]
    assert job["script"] == ["roar-publish-ci"]
    assert job["variables"]["ROAR_PUBLISHER_PACKAGE"] == f"roar-publisher=={__version__}"
    assert all("$CI" not in line and "$ROAR_CI" not in line for line in job["before_script"])
