"""Hints: what has none is not scanned."""

import pytest

from roar_publisher.lineage.redaction.hints import FIRST_TEXTS, Hints
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.rules import all_keywords
from roar_publisher.lineage.redaction.scan import may_hold_secrets
from roar_publisher.lineage.redaction.settings import OmitConfig


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
