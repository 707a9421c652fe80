"""A project can except known values from redaction; only the user can except kinds of values, or everything."""

import pytest

from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.settings import OmitConfig, merge_settings
from tests.support.lineage.secret_corpus import secrets

SEED = 11
LETTERS = "|".join("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
NAMES = (
    "(?i)token|key|pass|secret|auth|pwd|bearer|cookie|sig|session|login|://|-p|-u|-a|-k|-P|-K|-w|-N|-U|cred|pat|fernet"
)
VENDORS = (
    "sk-|hf_|gh[pousr]_|github_pat_|AKIA|ASIA|xox|glpat-|gldt-|AIza|ya29|GOCSPX|_live_|_test_|SG|npm_|pypi-|dapi|dop_|gsk_"
    "|r8_|pplx-|nvapi-|hvs|dckr_|glc_|lin_api_|ntn_|PMAK|pul-|rubygems_|shp|AGE-SECRET|sb_|sbp_|lsv2|wandb_v1|tskey|rpa_|eyJ"
    "|-----BEGIN|hooks|webhook|sk-ant-api03-|sk-ant-oat01|sk-proj-|AIzaSy|eyJhbGciOi"
)
EVERYTHING = {
    "any character": [".*"],
    "anything on any line": [r"[\s\S]*"],
    "one character": ["."],
    "the beginning": ["^"],
    "the end": ["$"],
    "a boundary": [r"\b"],
    "an empty group": ["(?:)"],
    "nothing or more": ["x*"],
    "a negated class": ["[^~]"],
    "a word": [r"\w+"],
    "no space": [r"\S{6,}"],
    "a class of POSIX": ["[[:alnum:]]"],
    "a class of Unicode": [r"\p{L}|\p{N}"],
    "without case": ["(?i)[a-z0-9]"],
    "an alternation of every character": [LETTERS],
    "all but short ones": [".{9,}", ".{1,8}"],
    "two halves": ["[a-mA-M0-4]", "[n-zN-Z5-9]"],
    "sixty-two patterns": LETTERS.split("|"),
    "every pair of letters": [f"{one}." for one in LETTERS.split("|")],
    "every name": [NAMES],
    "the names of variables": ["[A-Z_]+=", "--?[a-z-]+", '"[A-Za-z_]+":'],
    "the beginnings of vendors' keys": [VENDORS],
    "a delimiter": ["[=:/@ _.-]"],
    "the whole text": [r"\A[\x00-\x{10FFFF}]*\z"],
    "everything but one text": ["^(?:[^q]|q[^z]|$)*"],
}


@pytest.mark.parametrize("how", EVERYTHING)
def test_a_project_cannot_except_everything(how: str) -> None:
    redactor = Redactor(merge_settings(OmitConfig(allowlist=tuple(EVERYTHING[how])), None))
    left = []
    for text, hidden in secrets(SEED):
        result = redactor.text(text)
        left += [(text, result) for secret in hidden if secret in result]
    assert left == [], f"seed {SEED}"


@pytest.mark.parametrize("how", EVERYTHING)
def test_an_ignored_exception_is_reported(how: str) -> None:
    omit = merge_settings(OmitConfig(allowlist=tuple(EVERYTHING[how])), None)
    redactor = Redactor(omit)
    for text, _hidden in secrets(SEED):
        redactor.text(text)
    ignored = [note for note in omit.notes() if "is ignored" in note]
    assert ignored or any("although the project excepts it" in found for found in redactor.findings())


def test_a_value_that_the_project_knows_is_excepted() -> None:
    text = "run --password hunter22 --api-key sk-test" + "a" * 20 + " AKIAIOSFODNN7EXAMPLE"
    for patterns in (["hunter22", "sk-test", "EXAMPLE$"], ["^--password hunter22$|sk-testa+|^AKIAIOSFODNN7EXAMPLE$"]):
        redactor = Redactor(merge_settings(OmitConfig(allowlist=tuple(patterns)), None))
        assert redactor.text(text) == text
        assert redactor.findings() == {}


@pytest.mark.parametrize("how", ["any character", "two halves", "the beginnings of vendors' keys", "one character"])
def test_the_user_may_except_everything(how: str) -> None:
    redactor = Redactor(merge_settings(OmitConfig(), OmitConfig(allowlist=tuple(EVERYTHING[how]))))
    text = "HF_TOKEN=hf_" + "aB3" * 12
    assert redactor.text(text) == text


def test_the_result_is_the_same_every_time() -> None:
    texts = [text for text, _hidden in secrets(SEED)]
    results = []
    for _ in range(2):
        redactor = Redactor(OmitConfig(allowlist=("[a-f]{2}",)))
        results.append(([redactor.text(text) for text in texts], redactor.findings()))
    assert results[0] == results[1]


@pytest.mark.parametrize("value", ["sk-", "hf_", "token", "A", "=", "Bearer "])
def test_a_configured_value_does_not_split_a_secret(value: str) -> None:
    """A configured value that is the prefix of a key must not hide the key from its rule."""
    redactor = Redactor(OmitConfig(values=(value,)))
    for text, hidden in secrets(SEED):
        result = redactor.text(text)
        assert not any(secret.removeprefix(value)[:12] in result for secret in hidden if len(secret) > 16), text
