"""Unusual files: holes, links, pipes, empty files, and names of any kind."""

import os
from pathlib import Path

import pytest

from tests.e2e.put.conftest import MakePlace
from tests.support.put.destinations import KINDS
from tests.support.put.project import output_files

HOLE_BYTES = 20_000_000
NAMES = ("two\nlines", "tab\tand 'quotes\"", "%2F and + and #?&=", "-rf", "e\u0301 or \u00e9", " blank ", "🦁")
"""File names that are special in a URL, a shell or a list of lines."""


@pytest.mark.parametrize("kind", KINDS)
def test_unusual_files_are_stored_as_they_are_read(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    outputs = place.project / "outputs"
    for name in NAMES:
        (outputs / name).write_text(f"content of {name}")
    with (outputs / "sparse").open("wb") as file:
        file.seek(HOLE_BYTES)
        file.write(b"the end")
    (outputs / "a link to a file").symlink_to(place.project / "raw.bin")
    place.files = output_files(place.project)
    assert place.files["a link to a file"] == (place.project / "raw.bin").read_bytes()
    make_what_is_no_file(outputs)

    answer = place.put()

    assert answer.code == 0, answer.err
    place.check_published_once()


def make_what_is_no_file(folder: Path) -> None:
    """Entries that a put leaves out."""
    (folder / "a link to nowhere").symlink_to("nowhere")
    (folder / "a link to a folder").symlink_to("deeper")
    os.mkfifo(folder / "a pipe")
