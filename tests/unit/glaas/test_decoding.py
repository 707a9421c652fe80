"""Bodies with many items are read in one pass, and what is looked at for all items together is looked at in each."""

import json
import math
from typing import Any

import pytest
from msgspec import Struct, ValidationError, convert

from roar_publisher.glaas import batches
from roar_publisher.glaas.decoding import NotJson, WrongShape, decode

DIGEST = {"algorithm": "blake3", "digest": "d"}
LINK = {"hash": "h", "path": "/p", "source_type": "s", "metadata": "m"}
JOB = {
    "command": "c",
    "job_uid": "u",
    "git_commit": "g",
    "git_branch": "b",
    "job_type": "t",
    "metadata": "m",
    "parent_job_uid": "p",
}
ARTIFACT = {"hashes": [DIGEST], "size": 1, "source_type": "s", "metadata": "m"}
ENTRY = {"job_uid": "u", "kind": "inputs", "artifacts": [LINK]}
BODIES: list[tuple[type[Struct], Any]] = [
    (batches.JobsRequest, {"jobs": [JOB, JOB]}),
    (batches.Job, JOB),
    (batches.ArtifactsRequest, {"artifacts": [ARTIFACT, ARTIFACT]}),
    (batches.LegacyArtifactsRequest, {"artifacts": [{**ARTIFACT, "session_hash": "a" * 64}]}),
    (batches.LinksRequest, {"artifacts": [LINK, LINK]}),
    (batches.LinksBatchRequest, {"links": [ENTRY, ENTRY]}),
]
NAMES = {"job_uid", "parent_job_uid", "hash", "algorithm", "digest"}
FIXED = {"kind", "session_hash"}
"""Fields with texts that are neither names nor free."""


def texts_in(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The places of all texts."""
    if isinstance(value, str):
        return [place]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, part in inner for found in texts_in(part, (*place, key))]


def with_text(value: Any, place: tuple[str | int, ...], text: str) -> bytes:
    """The JSON of a body with another text in one place."""
    changed = json.loads(json.dumps(value))
    part = changed
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = text
    return json.dumps(changed).encode()


PLACES = [(kind, body, place) for kind, body in BODIES for place in texts_in(body)]


def test_the_places_have_every_text() -> None:
    assert {place[-1] for _, _, place in PLACES} >= NAMES | {"command", "path", "source_type", "metadata"}
    for kind, body in BODIES:
        assert decode(json.dumps(body).encode(), kind) == convert(body, kind)


@pytest.mark.parametrize("text", ["a\0", "\0"])
def test_a_nul_is_refused_in_every_text(text: str) -> None:
    for kind, body, place in PLACES:
        with pytest.raises(WrongShape) as refusal:
            decode(with_text(body, place, text), kind)
        assert place[-1] in FIXED or str(refusal.value).startswith(".".join(map(str, place)) + ": ")


@pytest.mark.parametrize("text", ["", " ", "a b", "é", "a\n", "\x7f", "a" * 257])
def test_what_is_no_name_is_refused_in_every_name_and_taken_in_every_text(text: str) -> None:
    for kind, body, place in PLACES:
        sent = with_text(body, place, text)
        if place[-1] in NAMES | FIXED:
            with pytest.raises(WrongShape, match=r"^" + r"\.".join(map(str, place)) + ": "):
                decode(sent, kind)
        else:
            decode(sent, kind)


@pytest.mark.parametrize("text", [r"\u0000", r"a\u0000b", '"\\', "\ufeffé😀", "~!"])
def test_a_text_that_looks_like_an_escape_is_taken(text: str) -> None:
    (job,) = decode(with_text({"jobs": [JOB]}, ("jobs", 0, "command"), text), batches.JobsRequest).jobs
    assert job.command == text


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_number_that_json_lacks_is_taken_only_where_nothing_looks_into(number: str) -> None:
    sent = b'{"artifacts": [{"hash": "h", "path": "/p", "metadata": {"x": %b}, "byte_ranges": [%b]}]}'
    (link,) = decode(sent.replace(b"%b", number.encode()), batches.LinksRequest).artifacts
    assert isinstance(link.metadata, dict)
    assert not math.isfinite(link.metadata["x"])
    assert not math.isfinite(link.byte_ranges[0])
    for field in ("timestamp", "duration_seconds", "exit_code"):
        with pytest.raises(WrongShape, match=rf"^{field}: "):
            decode(f'{{"command": "c", "job_uid": "u", "{field}": {number}}}'.encode(), batches.Job)


@pytest.mark.parametrize(
    "sent", [b"", b"{", b"\xff\xfe", b'{"jobs": ["\\ud800"]}', b"[" * 10**5, b'{"jobs": ' + b"1" * 5000 + b"}", b"{}x"]
)
def test_what_is_no_json_is_not_json(sent: bytes) -> None:
    with pytest.raises(NotJson):
        decode(sent, batches.JobsRequest)


def test_what_is_nested_too_deep_is_refused() -> None:
    sent = b'{"artifacts": [{"hash": "h", "path": "p", "byte_ranges": %b}]}' % (b"[" * 10**5 + b"]" * 10**5)
    with pytest.raises(NotJson, match="too deep"):
        decode(sent, batches.LinksRequest)


def test_a_refusal_quotes_nothing_that_was_sent() -> None:
    for place in texts_in(ENTRY):
        with pytest.raises(WrongShape) as refusal:
            decode(with_text({"links": [ENTRY]}, ("links", 0, *place), "se cret\0"), batches.LinksBatchRequest)
        assert "cret" not in str(refusal.value)


def test_a_hash_ends_where_it_ends() -> None:
    """The `$` of a pattern matches before a line end, too."""
    body = {"artifacts": [{**ARTIFACT, "session_hash": "a" * 64 + "\n"}]}
    with pytest.raises(ValidationError):
        convert(body, batches.LegacyArtifactsRequest)
