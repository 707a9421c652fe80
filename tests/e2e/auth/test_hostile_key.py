"""A project that brings an SSH key along and names it: its maker would own what is published privately."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.auth.desk import Desk, alices_desk, recorded_hash
from tests.support.auth.openssh import make_key


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Alice, without a credential; Mallory has a key in the project and beside it."""
    folder = tmp_path_factory.mktemp("hostile-key").resolve()
    with alices_desk(folder) as desk:
        desk.admin("user", "add", "mallory")
        inside, beside = desk.program.cwd / "key", folder / "beside"
        make_key(inside, "ed25519")
        desk.admin("key", "add", "mallory", str(inside.with_suffix(".pub")))
        shutil.copy(inside, beside)
        (desk.home / ".ssh").mkdir(mode=0o700)
        yield desk


def naming(desk: Desk, key: str) -> None:
    (desk.program.cwd / ".roar" / "config.toml").write_text(f"[glaas]\nkey = {json.dumps(key)}\n")


@pytest.mark.parametrize("key", ["key", "{cwd}/key", "../beside", "{cwd}/../beside", "~/.ssh/../../beside", "key.pub"])
def test_a_key_that_came_with_a_project_does_not_sign(desk: Desk, key: str) -> None:
    naming(desk, key.format(cwd=desk.program.cwd))
    desk.roar("publish", "--private", "-y").blames(4, "`[glaas] key`", "~/.ssh", "ROAR_SSH_KEY")
    private = desk.read(recorded_hash("ssh"), desk.token("mallory"))
    assert private[0] == 404


def test_a_key_of_the_user_that_a_project_names_signs(desk: Desk) -> None:
    key = desk.home / ".ssh" / "work"
    make_key(key, "ed25519")
    desk.admin("key", "add", "alice", str(key.with_suffix(".pub")))
    naming(desk, "~/.ssh/work")
    event = desk.publish("--private")
    assert desk.read(event["hash"], desk.token())[0] == 200


def test_a_key_elsewhere_signs_if_the_user_names_it(tmp_path: Path) -> None:
    """By a link in `~/.ssh`, which only the user makes."""
    from roar_publisher.auth.sshkey import KeyLocation, find_key

    key, link = tmp_path / "keys" / "mine", tmp_path / ".ssh" / "mine"
    key.parent.mkdir()
    key.touch()
    link.parent.mkdir()
    os.symlink(key, link)
    assert find_key({}, "~/.ssh/mine", tmp_path) == KeyLocation(link, "`[glaas] key`")
    assert find_key({"ROAR_SSH_KEY": str(key)}, str(key), tmp_path) == KeyLocation(key, "ROAR_SSH_KEY")
