"""File systems that cannot sync a folder, as CIFS and the shared folders of virtual machines."""

import os
import stat

import pytest


def refuse_to_sync_folders(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Let `fsync` of a folder fail with this error."""
    sync = os.fsync

    def refusing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refusing)
