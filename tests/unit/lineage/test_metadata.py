"""Metadata in pieces: the same as redacting and encoding all of it, but what repeats is read once."""

import json
import random
from typing import Any

import pytest

from roar_publisher.lineage import metadata
from roar_publisher.lineage.canonical import metadata_text
from roar_publisher.lineage.jsontext import encode, parse_json
from roar_publisher.lineage.metadata import MetadataRedactor
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.settings import OmitConfig
from tests.support.sampling import sample

TOKEN = "ghp_" + "a1B2c3D4e5F6" * 3
OMIT = OmitConfig(variables=("MY_VAR",))
NAMES = ("password", "HF_TOKEN", "name", "value", "env_vars", "runtime", "git", "é", "monkey", TOKEN, "command", "")
TEXTS = (
    TOKEN,
    "hunter22",
    "abCD1234efGH5678ijKL",
    "0.4.7",
    "Bearer abcdefghijklmnop1234567",
    "zażółć",
    "--password",
    "[REDACTED]",
    "\ud800",
)
NUMBERS = (1, -0.0, 1.0, 1e22, 0.1 + 0.2, 1.0000000000000002, float("inf"), float("nan"), True, None, 10**25)
ODD = (
    "null",
    "[]",
    "{}",
    " { } ",
    '{"a":{ }}',
    f'{{"{TOKEN}":{{}}}}',
    '{"a":01}',
    '{"a":1,}',
    '{"a":"\x01"}',
    '{"a":"\\ud800"}',
    '{"a":1}\x00',
    '{"a":1E400}',
    '{"\\u0061":1,"a":{"password":"hunter22"}}',
    '{"a":1,"a":2.50}',
    '{"runtime":{"env_vars":{"MY_VAR":"q"}}}',
    '{"runtime":1,"runtime":{"env_vars":{"MY_VAR":"q","MY_VAR":"[REDACTED]"}}}',
    '{"a":{"value":"abCD1234efGH5678ijKL","name":"HF_TOKEN"}}',
    '{"name":"HF_TOKEN","value":"abCD1234efGH5678ijKL"}',
    '{"a":' * 200 + "1" + "}" * 200,
    "not json password=hunter22",
)


def value(chance: random.Random, depth: int) -> Any:
    if depth and chance.random() < 0.4:
        return {chance.choice(NAMES): value(chance, depth - 1) for _ in range(chance.randrange(5))}
    if depth and chance.random() < 0.2:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return chance.choice(TEXTS if chance.random() < 0.6 else NUMBERS)


def whole(text: str, redactor: Redactor) -> tuple[str, str]:
    """Return what `MetadataRedactor.redacted` has to return, made from the metadata as one."""
    parsed = parse_json(text)
    if parsed is None:
        return redactor.text(text), metadata_text(text)
    return encode(redactor.metadata(parsed) if isinstance(parsed, dict) else redactor.value(parsed)), metadata_text(
        text
    )


@pytest.mark.parametrize("seed", sample("metadata", range(60), 4))
def test_pieces_become_what_the_whole_becomes(seed: int) -> None:
    chance = random.Random(seed)
    expected, found = Redactor(OMIT), Redactor(OMIT)
    pieces = MetadataRedactor(found)
    for _ in range(100):
        made = {chance.choice(NAMES): value(chance, 4) for _ in range(chance.randrange(6))}
        text = json.dumps(made, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, 1)))
        assert pieces.redacted(text) == whole(text, expected), f"seed {seed}: {text!r}"
        assert found.findings() == expected.findings(), f"seed {seed}: {text!r}"


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_become_what_the_whole_becomes_each_time(text: str) -> None:
    expected, found = Redactor(OMIT), Redactor(OMIT)
    pieces = MetadataRedactor(found)
    for _ in range(2):
        assert pieces.redacted(text) == whole(text, expected)
    assert found.findings() == expected.findings()


def test_what_repeats_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def decode(text: str) -> object:
        read.append(text)
        return json.loads(text)

    monkeypatch.setattr(metadata, "decode", decode)
    pieces = MetadataRedactor(Redactor(OMIT))
    for job in range(10):
        packages = {"pip": {f"package-{number}": "1.0" for number in range(20)}}
        runtime = {"hostname": "worker", "os": {"system": "Linux"}, "timing": {"start": float(job)}}
        pieces.redacted(json.dumps({"packages": packages, "runtime": runtime}))
    assert len(read) == 3 + 10, read  # each job has its own timing


def test_the_words_of_a_command_are_not_read_again_for_the_canonical_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "canonical_value", lambda text: pytest.fail(f"read {text!r} again"))
    text = '{"runtime":{"command":["python","0.50"],"count":3,"host":"worker","gpu":null,"clean":true}}'
    assert MetadataRedactor(Redactor(OMIT)).redacted(text) == whole(text, Redactor(OMIT))


def test_a_project_with_ever_new_pieces_keeps_memory_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "KEPT_BYTES", 5_000)
    pieces = MetadataRedactor(Redactor(OMIT))
    for number in range(100):
        pieces.redacted(json.dumps({"a": f"text-{number}"}))
    assert 0 < len(pieces._known) < 10
