"""What is made of what a lineage says: where its files are, how they are named, and what is refused."""

import json
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any, TypeVar

import anyio
import pytest
from blake3 import blake3

from roar_publisher.fetching import locating, reading
from roar_publisher.fetching.asking import LineageReader
from roar_publisher.fetching.locating import MOST_SEGMENTS, Put
from roar_publisher.fetching.names import shared_names
from roar_publisher.fetching.stored import StoredFile, Unsafe, check_lineage, select, steps_in
from roar_publisher.glaas.client import ANONYMOUS, Authorizer, Refused
from roar_publisher.glaas.replies import DocumentReply
from roar_publisher.state.errors import Rejected, UsageProblem

HASH = "ab" * 32
DEST = "s3://bucket/run"
T = TypeVar("T")


def digest_of(text: str) -> str:
    return blake3(text.encode()).hexdigest()


class Registry:
    """The reading side of a registry without pages, which says anything. labels: the addresses, by digest."""

    def __init__(self, jobs: list[dict[str, Any]], labels: Mapping[str, object] | None = None) -> None:
        self.jobs = jobs
        self.labels = labels or {}
        self.asked: list[str] = []
        self.replies: dict[str, Mapping[str, Any]] = {}

    async def serves_pages(self) -> bool:
        return False

    async def find(self, question: Callable[[], Awaitable[T]]) -> T:
        return await question()

    async def ask(self, path: str) -> Mapping[str, Any]:
        self.asked.append(path)
        if path in self.replies:
            return self.replies[path]
        if "/labels/current" in path:
            digest = path.partition("artifact_hash=")[2][:64]
            if digest in self.labels:
                return {"metadata": {"roar": {"distribution": {"url": self.labels[digest]}}}}
        elif path.endswith("/reproduction"):
            return {"jobs": self.jobs}
        raise Refused("no such thing", status=404)


def whole_hash(registry: Registry, typed: str) -> tuple[str, str]:
    return anyio.run(locating.whole_hash, registry, typed)  # type: ignore[arg-type]


def put_job(
    paths: Mapping[str, object], urls: object, destination: object = DEST, *, step: int = 3, as_text: bool = False
) -> dict[str, Any]:
    """Return a put job. paths: of its inputs, by digest. urls: of its objects, by the ids of artifacts."""
    metadata: object = {"put": {"destination": destination, "artifacts": urls}}
    inputs = [{"hash": digest, "path": path} for digest, path in paths.items()]
    return {
        "jobType": "put",
        "stepNumber": step,
        "metadata": json.dumps(metadata) if as_text else metadata,
        "inputs": inputs,
        "outputs": [],
    }


def read(registry: Registry, *, steps: frozenset[int] = frozenset()) -> tuple[list[StoredFile], list[Unsafe]]:
    """Return what is made of the lineage."""

    async def ask() -> tuple[list[StoredFile], list[Unsafe]]:
        found = await locating.put_jobs(reading.jobs_of(registry, HASH), steps)  # type: ignore[arg-type]
        return await locating.locate(registry, HASH, found, ignoring_case=False)  # type: ignore[arg-type]

    return anyio.run(ask)


def one(url: str, destination: object = DEST) -> tuple[list[StoredFile], list[Unsafe]]:
    """Return what is made of a lineage with one file, whose label says that it is there."""
    digest = digest_of("1")
    return read(Registry([put_job({digest: "/p/elsewhere"}, {}, destination)], {digest: url}))


def test_an_address_that_several_files_could_have_is_that_of_none() -> None:
    """Only one of them is there, and its digest would make a fetch of the others fail."""
    one, other = digest_of("one"), digest_of("other")
    put = Put(DEST, paths={one: "a/model.pt", other: "b/model.pt"}, urls={"model.pt": f"{DEST}/model.pt"})
    assert put.by_path() == {}
    del put.paths[other]
    assert put.by_path() == {one: f"{DEST}/model.pt"}


@pytest.mark.parametrize("as_text", [False, True])
def test_files_are_found_by_their_paths_without_asking_for_labels(as_text: bool) -> None:
    names = ["a/x.pt", "b/x.pt", "x.pt", "50%?#", "naïve name"]
    paths = {digest_of(name): f"/home/me/project/out/{name}" for name in names}
    urls = {f"id{number}": f"{DEST}/{name}" for number, name in enumerate(names)}
    registry = Registry([put_job(paths, urls, as_text=as_text)])
    files, unsafe = read(registry)
    assert unsafe == []
    assert {file.name: (file.digest, file.url) for file in files} == {
        name: (digest_of(name), f"{DEST}/{name}") for name in names
    }
    assert not [path for path in registry.asked if "labels" in path]


def test_files_in_a_folder_are_found_although_no_label_says_where() -> None:
    paths = {digest_of("1"): "out/a b", digest_of("2"): "out/sub/x"}
    job = put_job(paths, {"i": "file:///data/run/a%20b", "j": "file:///data/run/sub/x"}, "/data/run")
    files, unsafe = read(Registry([job]))
    assert ([file.name for file in files], unsafe) == (["a b", "sub/x"], [])


def test_content_under_several_names_is_found_by_its_label_or_as_the_only_one_left() -> None:
    shared, other = digest_of("shared"), digest_of("other")
    job = put_job({shared: "out/a", other: "out/b"}, {"i": f"{DEST}/twin-of-a", "j": f"{DEST}/b"})
    assert [file.name for file in read(Registry([job]))[0]] == ["b", "twin-of-a"]
    second = digest_of("second")
    job = put_job({shared: "out/a", second: "out/c"}, {"i": f"{DEST}/twin-of-a", "j": f"{DEST}/twin-of-c"})
    files, unsafe = read(Registry([job], {shared: f"{DEST}/twin-of-a"}))
    assert [file.name for file in files] == ["twin-of-a", "twin-of-c"]
    files, unsafe = read(Registry([job]))
    assert files == []
    assert {each.digest for each in unsafe} == {shared, second}
    assert all("does not say where" in each.why for each in unsafe)


def test_the_last_put_of_a_file_counts() -> None:
    digest = digest_of("1")
    jobs = [put_job({digest: "out/x"}, {"i": f"{place}/x"}, place) for place in ("s3://old/run", "s3://new/run")]
    assert [file.url for file in read(Registry(jobs))[0]] == ["s3://new/run/x"]


def test_what_a_later_put_stored_at_the_same_address_is_there_now() -> None:
    first, second = digest_of("1"), digest_of("2")
    jobs = [
        put_job({digest: "model.pt"}, {"i": f"{DEST}/model.pt"}, step=step)
        for step, digest in ((1, first), (2, second))
    ]
    for served in (jobs, [put_job({digest_of("3"): "other"}, {"i": f"{DEST}/other"}), *jobs]):
        files, unsafe = read(Registry(served))
        assert {file.digest for file in files if file.name == "model.pt"} == {second}
        assert unsafe == []


def test_a_dataset_that_was_read_is_no_stored_file() -> None:
    """The datasets of a lineage are inputs of its puts, too."""
    stored, dataset = digest_of("1"), digest_of("2")
    job = put_job({stored: "/p/model.txt", dataset: "/p/out/train"}, {"i": f"{DEST}/model.txt"})
    files, unsafe = read(Registry([job]))
    assert ([file.digest for file in files], unsafe) == ([stored], [])
    twins = put_job({digest_of("3"): "a/x", digest_of("4"): "b/x"}, {"i": f"{DEST}/y", "j": f"{DEST}/z"}, step=4)
    files, unsafe = read(Registry([job, twins]))
    assert {each.digest for each in unsafe} == {digest_of("3"), digest_of("4")}


@pytest.mark.parametrize(
    "url", [f"{DEST}/[AWS_KEY_REDACTED]/x", "file:///run/%5BREDACTED%5D/x", "file:///run/api_key=[REDACTED]/x"]
)
def test_an_address_that_redaction_has_changed_is_none(url: str) -> None:
    digest = digest_of("1")
    files, unsafe = read(Registry([put_job({digest: "p/x"}, {"i": url}, url.rpartition("/")[0])]))
    assert files == []
    assert [(each.digest, each.url) for each in unsafe] == [(digest, "")]


def test_an_address_that_two_digests_claim_is_given_to_none() -> None:
    paths = {digest_of("1"): "p/x", digest_of("2"): "q/x"}
    assert read(Registry([put_job(paths, {"i": f"{DEST}/x", "j": f"{DEST}/y"})]))[0] == []


HOSTILE_URLS = [
    "s3://bucket/run/../../../etc/cron.d/x",
    "s3://bucket/run//etc/passwd",
    "s3://bucket/run/./x",
    "s3://bucket/run/..",
    "s3://bucket/run/a\0b",
    "s3://bucket/",
    "s3://bucket",
    "s3:///etc/passwd",
    "s3://../x",
    "file:///a/../etc/passwd",
    "file:///a/%2e%2e/etc/passwd",
    "file:///a/%00",
    "file://host/share/x",
    "/",
    "../../x",
    "http://example.org/x",
    "https://user:password@example.org/x",
    "https://example.org",
    "https://example.org:0/x",
    "https://example.org:65536/x",
    "https://[:::::]/x",
    "https://[127.0.0.1]/x",
    "https://example.org/a/../x",
    "s3://bucket/run/" + "x" * 256,
    "s3://bucket/run/" + "x/" * 600 + "x",
    "s3://bucket/run/.git/config",
    "s3://bucket/run/sub/.GIT/hooks/post-checkout",
    "s3://bucket/run/.g\u200cit/config",
    "s3://bucket/run/.git ./config",
    "s3://bucket/run/.roar/config.toml",
    "s3://bucket/run/.roar-fetch/journal.db",
    "s3://bucket/.roar-fetch",
    "s3://bucket/run/\udcff",
    "file:///run/\udcff",
    "/run/\udcff/x",
    "https://example.org/x?\ud800",
]


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_address_is_refused(url: str) -> None:
    files, unsafe = one(url, "s3://bucket/run" if "run" in url else "")
    assert files == []
    assert [each.url for each in unsafe] == [url]


@pytest.mark.parametrize(
    ("destination", "url", "name"),
    [
        ("s3://bucket/run", "s3://bucket/run/a/b.pt", "a/b.pt"),
        ("s3://bucket/run/", "s3://bucket/run/50%?#", "50%?#"),
        ("s3://bucket", "s3://bucket/run/x", "run/x"),
        ("s3://bucket/ru", "s3://bucket/run/x", "x"),
        ("s3://other/run", "s3://bucket/run/x", "x"),
        ("gs://bucket/run", "gs://bucket/run/a/x", "a/x"),
        ("/data/run", "file:///data/run/a%20b", "a b"),
        ("file:///data/run", "file:///data/run/sub/x", "sub/x"),
        (DEST, "https://example.org/a/x.pt?signature=1/2", "x.pt"),
        (["s3://bucket"], "s3://bucket/run/x", "x"),
        ("../..", "s3://bucket/run/x", "x"),
        ("file:///\udcff", "s3://bucket/run/x", "x"),
    ],
)
def test_a_file_is_named_by_its_place_below_the_destination(destination: object, url: str, name: str) -> None:
    files, unsafe = one(url, destination)
    assert ([file.name for file in files], unsafe) == ([name], [])


def test_two_files_of_one_name_are_both_refused() -> None:
    first, second = digest_of("1"), digest_of("2")
    labels = {first: "s3://bucket/run/x", second: "s3://elsewhere/x"}
    files, unsafe = read(Registry([put_job({first: "p/1", second: "p/2"}, {})], labels))
    assert files == []
    assert len(unsafe) == 2


def test_names_that_a_file_system_takes_for_one() -> None:
    names = ["a/X", "A/x", "b", "caf\u00e9", "cafe\u0301"]
    assert shared_names(names, ignoring_case=False) == frozenset()
    assert shared_names(names, ignoring_case=True) == {"a/X", "A/x", "caf\u00e9", "cafe\u0301"}


@pytest.mark.parametrize("said", [None, 7, {}, "", ["s3://bucket/x"]])
def test_what_is_no_address_is_no_stored_file(said: object) -> None:
    digest = digest_of("1")
    assert read(Registry([put_job({digest: "p/x"}, {"i": said})], {digest: said})) == ([], [])
    assert read(Registry([put_job({digest: "p/x"}, said)])) == ([], [])


def test_digests_and_paths_that_are_none_are_never_asked_about() -> None:
    registry = Registry([put_job({"../../x": "p/x", "A" * 64: "p/x", "": "p/x"}, {"i": f"{DEST}/x"})])
    assert read(registry) == ([], [])
    assert not [path for path in registry.asked if "labels" in path]
    digest = digest_of("1")
    assert read(Registry([put_job({digest: None}, {"i": f"{DEST}/x"})]))[0][0].url == f"{DEST}/x"
    for metadata in ("{", "[" * 100_000):
        jobs = [{"jobType": "put", "metadata": metadata, "inputs": [7, {"hash": 8}]}, "x"]
        assert read(Registry(jobs)) == ([], [])  # type: ignore[arg-type]


def test_a_lineage_is_found_by_its_first_digits_or_by_the_digest_of_a_file() -> None:
    registry = Registry([])
    registry.replies[f"/api/v1/sessions/{HASH[:8]}?limit=1"] = {"hash": HASH}
    assert whole_hash(registry, HASH[:8]) == (HASH, "")
    digest = digest_of("1")
    registry.replies[f"/api/v1/artifacts/{digest[:8]}"] = {"hash": digest, "original_session_hash": HASH}
    assert whole_hash(registry, digest[:8]) == (HASH, digest)
    with pytest.raises(Refused):
        whole_hash(registry, "0" * 8)


def test_a_public_file_is_found_without_any_credential() -> None:
    """Its digest is that of no lineage; nobody has to sign in, or to unlock a key, because of that."""
    digest = digest_of("1")

    class Caller:
        async def call(self, _method: str, path: str, *, authorize: Authorizer, **_options: object) -> DocumentReply:
            assert authorize is ANONYMOUS
            if path.endswith(f"/artifacts/{digest}"):
                return DocumentReply({"hash": digest, "original_session_hash": HASH})
            raise Refused("no such lineage", status=404)

    reader = LineageReader(Caller(), SimpleNamespace())  # type: ignore[arg-type]
    assert anyio.run(locating.whole_hash, reader, digest) == (HASH, digest)


@pytest.mark.parametrize("reply", [{"hash": "cd" * 32}, {"hash": HASH[:8]}, {"hash": f"{HASH[:8]}/../x"}, {}])
def test_another_lineage_than_the_one_asked_for_is_refused(reply: Mapping[str, Any]) -> None:
    registry = Registry([])
    registry.replies[f"/api/v1/sessions/{HASH[:8]}?limit=1"] = reply
    with pytest.raises(Rejected, match="a different lineage"):
        whole_hash(registry, HASH[:8])


def test_selections() -> None:
    files = [
        StoredFile(digest_of("1"), f"{DEST}/a/x.pt", "a/x.pt"),
        StoredFile(digest_of("2"), f"{DEST}/ab", "ab"),
    ]
    x = files[0]
    of_step = {4: frozenset({x.digest, digest_of("not stored")})}
    assert select(files, [], [], {}) == (files, [])
    for selection in ("a/x.pt", "*.pt", "a", "a/", x.digest, x.digest[:8], "@4"):
        assert select(files, [], [selection], of_step) == ([x], []), selection
    assert select(files, [], ["ab", "*.pt"], {}) == (files, [])
    for selection in ("none", "@5", "a/x", x.digest[:7]):
        with pytest.raises(UsageProblem, match=selection):
            select(files, [], ["*.pt", selection], of_step)
    assert steps_in(["@4", "@12", "x@3", "@", "@4x"]) == {4, 12}


def test_a_path_is_a_selection_also_if_it_reads_as_a_glob() -> None:
    files = [StoredFile(digest_of(name), f"{DEST}/{name}", name) for name in ("out[1]/x", "out1/x")]
    assert select(files, [], ["out[1]/x"], {}) == (files, [])
    assert select(files[:1], [], ["out[1]/x"], {}) == (files[:1], [])
    assert select(files, [], ["out[1]"], {}) == (files[:1], [])


def test_a_selection_that_means_an_unsafe_file_says_so() -> None:
    file, unsafe = StoredFile(digest_of("1"), f"{DEST}/x", "x"), Unsafe(digest_of("2"), f"{DEST}/..", "why")
    of_step = {4: frozenset({file.digest, unsafe.digest})}
    assert select([file], [unsafe], ["@4"], of_step) == ([file], [unsafe])
    assert select([file], [unsafe], [unsafe.digest[:8]], {}) == ([], [unsafe])
    assert select([file], [unsafe], ["x"], {}) == ([file], [])
    assert select([file], [unsafe], [], {}) == ([file], [unsafe])


def test_a_step_is_what_it_wrote_and_of_a_put_what_it_stored() -> None:
    made, stored = digest_of("made"), digest_of("stored")
    run = {"jobType": "run", "stepNumber": 2, "outputs": [{"hash": made, "path": "x"}], "inputs": []}
    registry = Registry([run, put_job({stored: "out/x", made: "out/y"}, {})])

    async def ask() -> locating.PutJobs:
        return await locating.put_jobs(reading.jobs_of(registry, HASH), frozenset({2, 3, 9}))  # type: ignore[arg-type]

    assert anyio.run(ask).of_step == {2: {made}, 3: {stored, made}}


@pytest.mark.parametrize("text", ["", "abc", "../../etc", "G" * 64, "a" * 65, "ABCDEF01"])
def test_what_is_no_hash_is_refused_before_any_request(text: str) -> None:
    with pytest.raises(UsageProblem):
        check_lineage(text)


def test_a_path_of_any_length_is_looked_up_as_often_as_a_key_has_segments() -> None:
    class Counted(dict[str, str]):
        asked = 0

        def get(self, key: Any, default: Any = None) -> Any:
            self.asked += 1
            return super().get(key, default)

    digest = "ab" * 32
    urls = Counted({"x": "s3://bucket/x"})
    put = Put("s3://bucket", paths={digest: "a/" * 2000 + "x"}, urls=urls)
    assert put.by_path() == {digest: "s3://bucket/x"}
    assert urls.asked <= MOST_SEGMENTS


def test_the_parts_of_a_large_step_are_added_to_one_set() -> None:
    """A copy for each part would cost the square of their number."""
    found, digests = locating.PutJobs(), [digest_of(str(number)) for number in range(3)]
    sets = []
    for digest in digests:
        found.add(reading.ServedJob(4, None, [], [(digest, "x")]), frozenset({4}))
        sets.append(found.of_step[4])
    assert sets[0] is sets[1] is sets[2]
    assert found.of_step == {4: set(digests)}
