"""The statement of a receipt: what it lists follows from the lineage hash, and what contradicts it is refused."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from roar_publisher.glaas.envelope import InvalidReceipt
from roar_publisher.lineage.canonical import canonical_job
from roar_publisher.lineage.statement import LISTED_BYTES, compose, listed, read_statement, time_text
from tests.support.lineages import SampleJob, chain, cut, digest
from tests.support.receipts import canonical_texts, facts_of, sample_lineage, statement_of

LINEAGE = cut(chain(3))


def test_a_statement_is_in_totos_with_jobs_as_slsa_provenance() -> None:
    document = json.loads(statement_of(LINEAGE))
    assert (document["_type"], document["predicateType"]) == ("https://in-toto.io/Statement/v1", "urn:roar:receipt:v1")
    first, *others = document["subject"]
    assert first["digest"] == {"sha256": facts_of(LINEAGE).hash}
    assert sorted(each["name"] for each in others) == ["data/1.csv", "data/2.csv", "data/3.csv"]
    job = document["predicate"]["jobs"][1]
    assert job["buildDefinition"]["externalParameters"]["command"] == "python step2.py"
    assert job["buildDefinition"]["resolvedDependencies"] == [
        {"name": "data/1.csv", "digest": {"blake3": digest("file 1")}}
    ]
    assert job["runDetails"] == {
        "builder": {"id": "https://registry.example#glaas:user:alice"},
        "byproducts": [{"name": "data/2.csv", "digest": {"blake3": digest("file 2")}}],
    }


@pytest.mark.parametrize("seed", range(20))
def test_what_is_composed_is_read_and_composed_again(seed: int) -> None:
    lineage = sample_lineage(seed)
    payload = statement_of(lineage)
    statement = read_statement(payload)
    assert (statement.facts, statement.lists_jobs) == (facts_of(lineage), True)
    assert compose(statement.facts, canonical_texts(lineage.jobs), lambda _: "blake3") == payload


def test_unusual_values_keep_the_hash() -> None:
    odd = SampleJob("a", 1, {digest("in"): 'é\ud800 " \n'}, {digest("out"): "x" * 500})
    odd.metadata = '{"rate": 0.1, "large": 12345678901234567890, "small": 1e-7, "nested": {"é": [null, true, 1.5e300]}}'
    assert read_statement(statement_of(cut([odd]))).lists_jobs


def test_a_subject_has_its_smallest_path() -> None:
    same = digest("same")
    jobs = [SampleJob("a", 1, {}, {same: "b"}), SampleJob("b", 2, {}, {same: "a"}), SampleJob("c", 3, {}, {same: "c"})]
    assert read_statement(statement_of(cut(jobs))).subjects[same] == "a"


@pytest.mark.parametrize("name", ["x" * 90_000, "", "a b", "\n", "é"])
def test_an_algorithm_that_a_stranger_made_up_is_not_repeated(name: str) -> None:
    assert compose(facts_of(LINEAGE), canonical_texts(LINEAGE.jobs), lambda _: name) == statement_of(LINEAGE)


@pytest.mark.parametrize("depth", [*range(900, 1000, 7), 5000])
def test_metadata_of_any_depth_leaves_a_statement(depth: int) -> None:
    nested = SampleJob("a", 1, metadata='{"a":' * depth + "1" + "}" * depth)
    try:
        facts, texts = facts_of(cut([nested])), canonical_texts([nested])
    except RecursionError:  # it has no hash either
        return
    payload = compose(facts, texts, lambda _: "blake3")
    with suppress(InvalidReceipt):
        assert read_statement(payload).facts == facts


def test_objects_of_a_put_are_subjects() -> None:
    text = canonical_job(
        command="roar put",
        job_type="put",
        step_number=1,
        parent_step_number=None,
        inputs=[(digest("model"), "model.bin")],
        outputs=[],
        metadata=None,
    )
    lineage = cut([])
    facts = facts_of(lineage)
    head = json.dumps(
        {
            "canonical_version": 1,
            "creator_identity": facts.publisher,
            "git": {"repo": facts.git_repo, "commit": facts.git_commit, "branch": facts.git_branch},
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    lineage_hash = hashlib.sha256(f'{head[:-1]},"jobs":[{text}]}}'.encode()).hexdigest()
    payload = compose(facts_of(lineage, hash=lineage_hash, jobs=1, inputs=1), [text], lambda _: "composite-blake3")
    assert read_statement(payload).subjects == {lineage_hash: "lineage", digest("model"): "model.bin"}
    assert json.loads(payload)["subject"][1]["digest"] == {"composite-blake3": digest("model")}


def test_a_large_lineage_is_named_by_its_hash_alone() -> None:
    taken: list[int] = []

    def texts() -> Any:
        for number in range(1_000_000):
            taken.append(number)
            yield "x" * 1000

    assert listed(texts()) is None
    assert len(taken) == LISTED_BYTES // 1000 + 1, "no more is read than is needed to know"
    payload = compose(facts_of(LINEAGE, jobs=1_000_000), None, lambda _: "blake3")
    statement = read_statement(payload)
    assert (statement.lists_jobs, set(statement.subjects)) == (False, {facts_of(LINEAGE).hash})
    assert len(payload) < 1000


def test_jobs_of_another_hash_are_not_listed() -> None:
    payload = compose(facts_of(LINEAGE, hash="a" * 64), canonical_texts(LINEAGE.jobs), lambda _: "blake3")
    assert not read_statement(payload).lists_jobs


def test_times_are_utc() -> None:
    assert time_text(1_767_323_045.9) == "2026-01-02T03:04:05Z"


def _at(*keys: Any) -> Callable[[Any, Any], None]:
    def change(document: Any, value: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def _add(*keys: Any) -> Callable[[Any, Any], None]:
    def change(document: Any, value: Any) -> None:
        for key in keys:
            document = document[key]
        document.append(value)

    return change


CONTRADICTIONS: dict[str, tuple[Callable[[Any, Any], None], Any, str]] = {
    "type": (_at("_type"), "other", "something else"),
    "predicate type": (_at("predicateType"), "other", "something else"),
    "hash": (_at("predicate", "lineage", "hash"), "a" * 64, "not those of its lineage hash"),
    "version": (_at("predicate", "lineage", "canonicalVersion"), 2, "another version"),
    "publisher": (_at("predicate", "publisher"), "glaas:user:mallory", "not those of its lineage hash"),
    "commit": (_at("predicate", "lineage", "git", "commit"), "b" * 40, "not those of its lineage hash"),
    "command": (
        _at("predicate", "jobs", 0, "buildDefinition", "externalParameters", "command"),
        "rm",
        "not those of its lineage hash",
    ),
    "jobs": (_at("predicate", "jobs"), [], "not those of its lineage hash"),
    "counts": (_at("predicate", "lineage", "counts", "outputs"), 7, "counts"),
    "a count that is a boolean": (_at("predicate", "lineage", "counts", "jobs"), True, "understands"),
    "subject": (_at("subject", 1, "digest"), {"blake3": "a" * 64}, "subjects"),
    "name of a subject": (_at("subject", 1, "name"), "another.csv", "subjects"),
    "name of the lineage": (_at("subject", 0, "name"), "another", "subjects"),
    "one more subject": (_add("subject"), {"name": "more.csv", "digest": {"blake3": "a" * 64}}, "subjects"),
    "no subject": (_at("subject"), [], "subjects"),
    "no digest": (_at("subject", 1, "digest"), {}, "understands"),
    "no predicate": (_at("predicate"), None, "understands"),
    "registry": (_at("predicate", "registry"), 7, "understands"),
    "jobs that are none": (_at("predicate", "jobs"), [7], "understands"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_statement_that_contradicts_itself_is_refused(name: str) -> None:
    change, value, why = CONTRADICTIONS[name]
    document = json.loads(statement_of(LINEAGE))
    change(document, value)
    with pytest.raises(InvalidReceipt, match=why):
        read_statement(json.dumps(document).encode())


def test_a_key_that_is_there_twice_is_refused() -> None:
    payload = statement_of(LINEAGE)
    twice = payload.replace(b'"publisher":', b'"publisher":"mallory","publisher":', 1)
    assert json.loads(twice) == json.loads(payload)
    with pytest.raises(InvalidReceipt, match="understands"):
        read_statement(twice)


NOTHING = [b"", b"[]", b"7", b"{}", b'"x"', b"[" * 100_000, b'{"_type":1,"_type":1}', b"\xff"]


@pytest.mark.parametrize("payload", NOTHING)
def test_what_is_no_statement_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidReceipt):
        read_statement(payload)
