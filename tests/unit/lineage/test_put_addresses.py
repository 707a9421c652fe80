"""The short form of the addresses of a put: what is stated and what follows from it."""

import json
import random
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import pytest

from roar_publisher.lineage.put_addresses import PutInput, StatedAddresses, shortened, shortened_metadata
from tests.support.sampling import SEED


def as_stored(files: Mapping[str, str]) -> list[PutInput]:
    """Return inputs of these paths and addresses, each with a digest of its own."""
    return [PutInput(f"{number:064x}", path, url) for number, (path, url) in enumerate(files.items())]


def stated(inputs: Iterable[PutInput]) -> dict[str, Any]:
    """Return the short form after its way through JSON, having checked that it leads to every address."""
    inputs = list(inputs)
    put = json.loads(json.dumps(shortened({"artifacts": {"id": "x"}, "message": "m"}, inputs)))
    assert (put["artifacts"], put["message"]) == ({}, "m")
    addresses = StatedAddresses(put)
    smallest = {one.digest: min(each.path for each in inputs if each.digest == one.digest) for one in inputs}
    for one in inputs:
        if one.url is not None:
            assert addresses.of(one.digest, smallest[one.digest]) == one.url
    found: dict[str, Any] = put["addresses"]
    return found


def test_a_folder_stands_for_all_files_below_it() -> None:
    files = {f"/home/u/p/out/{n % 7}/{n}.png": f"s3://bucket/run/{n % 7}/{n}.png" for n in range(100)}
    assert stated(as_stored(files)) == {"folders": [["/home/u/p/out", "s3://bucket/run"]], "files": {}}


def test_names_are_encoded_in_the_address_of_a_folder() -> None:
    names = ["a b.png", "größe 测试.txt", "50%?#.txt", "plain"]
    files = {f"/p/my out/{name}": f"file:///srv/my%20store/{quote(name)}" for name in names}
    assert stated(as_stored(files)) == {"folders": [["/p/my out", "file:///srv/my%20store"]], "files": {}}
    files = {f"/p/out/{name}": f"gs://bucket/{name}" for name in names}
    assert stated(as_stored(files)) == {"folders": [["/p/out", "gs://bucket"]], "files": {}}


def test_of_folders_in_each_other_the_nearest_counts() -> None:
    files = {f"/p/out/{n}.json": f"s3://b/{n}.json" for n in range(20)}
    files |= {f"/p/out/plots/{n}.png": f"s3://b/{n}.png" for n in range(20)}
    found = stated(as_stored(files))
    assert found == {"folders": [["/p/out", "s3://b"], ["/p/out/plots", "s3://b"]], "files": {}}


def test_a_few_copies_do_not_take_a_folder_from_the_other_files() -> None:
    """Two files of `a` are those of `b`, whose addresses are stated."""
    inputs = as_stored({f"/p/{folder}/{n}": f"s3://b/{folder}/{n}" for folder in "ab" for n in range(20)})
    copies = [PutInput(one.digest, one.path.replace("/b/", "/a/sub/"), one.url) for one in inputs[20:22]]
    others = as_stored({f"/p/a/sub/more-{n}": f"s3://b/a/sub/more-{n}" for n in range(60)})[40:]
    found = stated([*inputs, *copies, *others])
    assert found == {"folders": [["/p", "s3://b"]], "files": {one.digest: one.url for one in copies}}


def test_a_dataset_that_was_read_is_not_stored_below_its_folder() -> None:
    inputs = as_stored({f"/p/data/{n}": f"s3://b/{n}" for n in range(5)})
    dataset = PutInput("d" * 64, "/p/data/sub", None)
    found = stated([*inputs, dataset])
    assert found["files"] == {dataset.digest: None}
    assert StatedAddresses({"addresses": found}).of(*dataset[:2]) is None


@pytest.mark.parametrize("store", ["s3://bucket", "s3://bucket/p/out", "file:///p", "/p", "gs://bucket/deep/er"])
def test_any_put_is_stated_exactly(store: str) -> None:
    rng = random.Random(f"{SEED}/addresses in {store}")
    for _ in range(30):
        inputs = []
        for _ in range(rng.randrange(1, 40)):
            path = "/p/" + "/".join(rng.choices(["out", "a", "b", "p", "ä ö"], k=rng.randrange(1, 5)))
            key = path.split("/", rng.randrange(2, path.count("/") + 1))[-1]
            url = f"{store}/{quote(key) if store.startswith('file') else key}"
            inputs.append(PutInput(f"{rng.randrange(60):064x}", path, rng.choice([url, url, url, None])))
        by_digest = {one.digest: one for one in inputs}
        stated(by_digest[one.digest]._replace(path=one.path) for one in inputs)


@pytest.mark.parametrize(
    "addresses",
    [None, 7, [], {}, {"folders": 7, "files": []}, {"folders": [7, ["/p"], ["/p", 7], {"/p": "s3://b"}, [1, "x"]]}],
)
def test_what_is_no_short_form_states_nothing(addresses: object) -> None:
    assert StatedAddresses({"addresses": addresses}).of("d", "/p/x") is None
    assert StatedAddresses({"addresses": {"folders": [["/p", "s3://b"]], "files": {"d": 7}}}).of("d", "/p/x") is None


def test_a_hostile_path_or_folder_is_looked_up_as_often_as_folders_have_lengths() -> None:
    addresses = {"folders": [["/" * n, "s3://b"] for n in (1, 5, 5, 9)], "files": {}}
    assert StatedAddresses({"addresses": addresses}).of("d", "/" * 1_000_000) == "s3://b" + "/" * 999_991
    assert StatedAddresses({"addresses": addresses}).of("d", "x" * 1_000_000) is None
    folder = {"folders": [["/p", "file:///b"]]}
    assert StatedAddresses({"addresses": folder}).of("d", "/p/\ud800") == "file:///b/%3F"


@pytest.mark.parametrize("text", [None, "", "{", "7", "{}", '{"put":7}', '{"put":{"artifacts":{}}}', '{"put":{}}'])
def test_metadata_without_addresses_stays_as_it_is(text: str | None) -> None:
    assert shortened_metadata(text, [("d", "/p/x", "id")]) == text


def test_addresses_are_found_by_the_ids_of_artifacts() -> None:
    put = {"artifacts": {"a": "s3://b/x", "b": 7}, "git_tag": None}
    short = shortened_metadata(json.dumps({"put": put, "more": 1}), [("d", "/p/y", "a"), ("e", "/p/z", "b")])
    assert json.loads(short or "") == {
        "put": {"artifacts": {}, "git_tag": None, "addresses": {"folders": [], "files": {"d": "s3://b/x"}}},
        "more": 1,
    }
