"""Hints: what has none is not scanned, and what was clean before is not read again."""

import random
import re

import pytest

from roar_publisher.lineage.redaction import options, scan, texts
from roar_publisher.lineage.redaction.hints import FIRST_TEXTS, Hints
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.rules import all_keywords
from roar_publisher.lineage.redaction.scan import find_secrets, may_hold_secrets
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.lineage.redaction.shell_words import QuotedText

SCANNERS = (
    scan._named_values,
    scan._flag_values,
    scan._headers,
    scan._short_options,
    options.option_secrets,
)
PIECES = (
    "curl -u me:hunter2-Xy7 ",
    "mysql -phunter2Xy7 ",
    "--auth me:hunter2-Xy7 ",
    "PASSWORD=hunter2-Xy7 ",
    "api_key: 8fj2K0qLx71ZpQw93 ",
    "--token 8fj2K0qLx71ZpQw93 ",
    "aws configure set aws_session_token 8fj2K0qLx71ZpQw93 ",
    "wandb login 8fj2K0qLx71ZpQw93 ",
    "login me password hunter2-Xy7 ",
    "Authorization: Bearer 8fj2K0qLx71ZpQw93 ",
    "Cookie: id=8fj2K0qLx71ZpQw93 ",
    "config BA\u017fIC 8fj2K0qLx71ZpQw93abcd ",
    "python step.py --stage 1 --out data/1 ",
    "",
)
"""Texts of which each needs another scanner, and some that need none."""


def test_the_first_texts_are_let_through_without_compiling_anything() -> None:
    hints = Hints(lambda: pytest.fail("compiled"))
    assert all(hints.may_be_in("plain") for _ in range(FIRST_TEXTS))


def test_then_a_text_needs_a_hint_in_any_case_of_its_letters() -> None:
    hints = Hints(lambda: ["token", r"\bpw\b"])
    for _ in range(FIRST_TEXTS):
        hints.may_be_in("")
    assert [hints.may_be_in(text) for text in ("plain", "a TOKEN", "pw=1", "pwd", "grün")] == [
        False,
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("keyword", all_keywords())
def test_each_keyword_of_a_rule_is_a_hint(keyword: str) -> None:
    assert may_hold_secrets(f"a\n{keyword.upper()}1\nb")


@pytest.mark.parametrize("seed", range(40))
def test_in_a_plain_word_only_tokens_of_a_known_form_are_found(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    parts = (
        "-p",
        "-u",
        "sshpass",
        "mysql",
        "passwd",
        "login",
        "curl",
        "KEY",
        "Auth",
        ".",
        "/",
        "~",
        "+",
        "_",
        "-",
        "\n",
    )
    tokens = ("hunter2", "8fj2K0qLx71ZpQw93", "ghp_" + "a1B2c3" * 6)
    harmless = 0
    for _ in range(60):
        word = "".join(chance.choice((*parts, *tokens)) for _ in range(9))
        if scan.are_harmless_words(word):
            harmless += 1
            with monkeypatch.context() as patch:
                patch.setattr(scan, "_PLAIN_WORDS", re.compile(r"(?!)"))
                assert not [span for line in word.split("\n") for span in find_secrets(line)], f"seed {seed}: {word!r}"
    assert harmless


def test_paths_with_a_hint_are_read_together_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "find_secrets", lambda text: pytest.fail(f"read {text!r}"))
    paths = [f"/home/me/my-project/tokens/{number}.bin" for number in range(5)]
    assert may_hold_secrets(paths[0])
    assert Redactor(OmitConfig()).certainly_clean(paths)
    for odd in ("-phunter2Xy7", "a b", "a=b", "a:b", "é", 'a"b', "ghp_" + "a1B2c3" * 6, "a@b", "<<<b", ""):
        assert not Redactor(OmitConfig()).certainly_clean([*paths, odd, *paths]), odd


def test_a_configured_value_or_pattern_is_looked_for_without_a_hint() -> None:
    assert Redactor(OmitConfig()).certainly_clean(["/data/a", "/data/b"])
    assert not Redactor(OmitConfig(values=("data",))).certainly_clean(["/data/a"])


def test_a_table_that_was_clean_is_read_again_with_other_values() -> None:
    redactor = Redactor(OmitConfig())
    table = {f"version-{number}": "1.0" for number in range(8)}
    for _ in range(2):
        assert redactor.value({"packages": table}) == {"packages": table}
    secret = table | {"password": "hunter2-Xy7"}
    assert redactor.value({"packages": secret}) == {"packages": table | {"password": "[REDACTED]"}}
    assert redactor.value({"packages": secret}) != {"packages": secret}
    assert redactor.total == 2


@pytest.mark.parametrize("seed", range(200))
def test_a_scanner_that_is_not_called_would_find_nothing(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.sample(PIECES, chance.randint(1, 3)))
    found = set(find_secrets(text))
    assert {span for scanner in SCANNERS for span in scanner(QuotedText(text))} <= found, text


def test_an_entry_that_was_clean_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor(OmitConfig())
    metadata = {"env": {"PATH": "/usr/bin:/opt/bin", "MODE": "fast", "WORKERS": 12}, "tool": "python 3.11.7"}
    assert redactor.value(metadata) == metadata
    monkeypatch.setattr(texts, "find_secrets", lambda text: pytest.fail(f"{text!r} was read again"))
    monkeypatch.setattr(
        redactor,
        "_named",
        lambda name, value: pytest.fail(name) if value != metadata["env"] else redactor._value(value),
    )
    assert redactor.value(metadata) == metadata


def test_a_text_that_is_clean_under_one_name_is_read_under_another() -> None:
    redactor = Redactor(OmitConfig())
    for _ in range(2):
        assert redactor.value({"note": "hunter2-Xy7"}) == {"note": "hunter2-Xy7"}
        assert redactor.value({"password": "hunter2-Xy7"}) == {"password": "[REDACTED]"}


def test_a_clean_entry_under_the_name_of_a_redacted_one_keeps_its_value() -> None:
    redactor = Redactor(OmitConfig())
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    for _ in range(2):
        assert redactor.value({"[GITHUB_TOKEN_REDACTED]": "one"}) == {"[GITHUB_TOKEN_REDACTED]": "one"}
        assert redactor.value({secret: "two", "[GITHUB_TOKEN_REDACTED]": "one"}) == {
            "[GITHUB_TOKEN_REDACTED]": "two",
            "[GITHUB_TOKEN_REDACTED] 1": "one",
        }
