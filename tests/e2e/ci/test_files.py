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
