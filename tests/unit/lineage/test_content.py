"""The digest of a file that other programs write meanwhile."""

import os
from pathlib import Path

import pytest
from blake3 import blake3

from roar_publisher.lineage import content
from roar_publisher.lineage.content import SEGMENT_BYTES, file_digest


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 1])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(size))
    assert file_digest(file) == blake3(bytes(size)).hexdigest()


def test_a_file_that_is_truncated_meanwhile_does_not_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read a part of a mapped file that is no longer there is a SIGBUS."""
    file = tmp_path / "file"
    file.write_bytes(bytes(3 * SEGMENT_BYTES))

    class Truncating:
        """A hasher in whose time another program truncates the file."""

        def __init__(self) -> None:
            self._hasher = blake3()

        def update(self, data: bytes) -> None:
            os.truncate(file, 10)
            self._hasher.update(data)

        def hexdigest(self) -> str:
            return self._hasher.hexdigest()

    monkeypatch.setattr(content, "blake3_hasher", Truncating)
    assert file_digest(file) == blake3(bytes(SEGMENT_BYTES)).hexdigest()
