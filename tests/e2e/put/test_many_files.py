"""A put of more files than a registry reads addresses of is published, proven and fetched like any other."""

import json
from hashlib import sha256

from tests.e2e.put.conftest import MakePlace

MANY = 1_250
"""More than a registry reads of a job, with the address of each file in it."""


def test_a_put_of_many_files_is_published_and_fetched(make_place: MakePlace) -> None:
    place = make_place("file")
    folder = place.project / "outputs" / "many files"
    folder.mkdir()
    more = {f"many files/{n % 3} ä/{n:06d}.txt": sha256(b"%d" % n).digest() for n in range(MANY)}
    for name, content in more.items():
        path = place.project / "outputs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    place.files.update(more)

    answer = place.put()

    assert answer.code == 0, answer.err
    lineage = place.check_published_once()
    (kept,) = place.rows("SELECT metadata FROM jobs WHERE job_type = 'put'")
    assert len(json.loads(kept[0])["put"]["artifacts"]) >= MANY
    fetched = place.roar("fetch", lineage, "--to", str(place.folder / "restored"))
    assert fetched.code == 0, fetched.err
    for name, content in more.items():
        assert (place.folder / "restored" / name).read_bytes() == content
    checked = place.roar("verify", lineage)
    assert checked.code == 0, checked.err + checked.out
