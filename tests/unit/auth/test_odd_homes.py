"""Homes that are not as usual: a read-only mount of a container, a file system without modes, no folder at all."""

import errno
import os
from pathlib import Path

import pytest

from roar_publisher.auth.bearer_store import BearerStore
from tests.support.auth.signed_in import auth_json


@pytest.mark.parametrize("number", [errno.EROFS, errno.EPERM])
def test_a_sign_in_that_cannot_be_made_private_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    auth_json(tmp_path).chmod(0o644)
    monkeypatch.setattr("os.fchmod", refuse)
    assert BearerStore.from_environment({"XDG_CONFIG_HOME": str(tmp_path)}, tmp_path).current() is not None


def test_a_home_that_is_not_a_folder_holds_no_sign_in(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    assert BearerStore.from_environment({}, tmp_path / "home").current() is None
