"""Secrets are redacted, everything else stays, and no text takes long."""

import json
import random
import re
import time
from collections.abc import Iterator

import pytest

from roar_publisher.lineage.redaction.patterns import CustomShape
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.state.errors import LocalProblem
from tests.support.lineage.harmless_corpus import harmless_texts
from tests.support.lineage.roarcli import OmitFilter
from tests.support.lineage.secret_corpus import URL_SAFE, secrets

SEEDS = (1, 2, 3)
PIECE = 5
"""The fewest consecutive characters of a secret that count as a leaked tail."""


def redacted(text: str) -> str:
    return Redactor(OmitConfig()).text(text)


def pieces(secret: str) -> Iterator[str]:
    return (secret[place : place + PIECE] for place in range(max(1, len(secret) - PIECE + 1)))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_part_of_a_realistic_secret_is_left(seed: int) -> None:
    corpus = secrets(seed)
    assert len(corpus) >= 200
    for text, hidden in corpus:
        result = redacted(text)
        left = [secret for secret in hidden if any(piece in result for piece in pieces(secret))]
        assert not left, f"seed {seed}: {text!r} became {result!r}"


@pytest.mark.parametrize("seed", SEEDS)
def test_secrets_in_json_values_are_redacted_as_in_texts(seed: int) -> None:
    for text, hidden in secrets(seed):
        result = json.dumps(Redactor(OmitConfig()).value({"runtime": {"command": ["sh", "-c", text], "note": text}}))
        assert not any(secret in result for secret in hidden), f"seed {seed}: {text!r} became {result!r}"


def test_harmless_values_stay() -> None:
    corpus = harmless_texts(1)
    assert len(corpus) >= 300
    redactor = Redactor(OmitConfig())
    assert [text for text in corpus if redactor.text(text) != text] == []
    assert redactor.findings() == {}


def test_harmless_json_stays() -> None:
    redactor = Redactor(OmitConfig())
    values = [json.loads(text) for text in harmless_texts(1) if text.startswith("{")]
    assert [value for value in values if redactor.value(value) != value] == []


@pytest.mark.parametrize("start", ["sk-" + "proj-", "sk-" + "ant-api03-"])
def test_no_tail_of_5000_random_url_safe_keys_is_left(start: str) -> None:
    seed = 20261127
    chance, redactor, left = random.Random(seed), Redactor(OmitConfig()), []
    for number in range(5_000):
        body = "".join(chance.choice(URL_SAFE) for _ in range((40, 48, 93, 95, 156)[number % 5]))
        result = redactor.text(f"run --x {start}{body} --y")
        if not re.fullmatch(r"run --x \[[A-Z_]*REDACTED\] --y", result):
            left.append((body, result))
    assert left == [], f"seed {seed}: {len(left)} of 5000"


@pytest.mark.parametrize("seed", range(20))
def test_the_text_around_a_secret_stays(seed: int) -> None:
    chance = random.Random(seed)
    known = [row for row in secrets(seed) if "PRIVATE KEY" not in row[0]]  # one that is cut off has no end
    commands = [text for text in harmless_texts(seed) if "'" not in text and '"' not in text and "{" not in text]
    for _ in range(10):
        before, after = chance.sample(commands, 2)
        text, hidden = chance.choice(known)
        result = redacted(f"{before} && {text} && {after}")
        assert result.startswith(f"{before} && "), f"seed {seed}: {result!r}"
        assert result.endswith(f" && {after}"), f"seed {seed}: {result!r}"
        assert not any(secret in result for secret in hidden), f"seed {seed}: {result!r}"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_second_pass_changes_and_finds_nothing(seed: int) -> None:
    for text, _hidden in secrets(seed):
        once = redacted(text)
        again = Redactor(OmitConfig())
        assert again.text(once) == once
        assert again.findings() == {}


def test_findings_are_counted_by_rule_and_hold_no_secret() -> None:
    redactor = Redactor(OmitConfig())
    redactor.text("run --password hunter22 --password hunter23 and AKIA" + "A7" * 8)
    assert redactor.findings() == {"argument": 2, "aws-access-key": 1}


# (text, what we publish, why it is not what roar-cli 0.4.7 publishes)
DIFFERENCES = [
    ("x --pad-token=[PAD]", "x --pad-token=[PAD]", "a tokenizer's setting; roar-cli goes by the name alone"),
    ('{"eos_token": "</s>"}', '{"eos_token": "</s>"}', "the same in JSON"),
    ("primary_key=id", "primary_key=id", "a plain word is no secret"),
    ("sort_key=created_at", "sort_key=created_at", "an identifier is no secret"),
    ("password_policy=strict", "password_policy=strict", "the last word of a name decides"),
    ("optim.token_lr=1e-4", "optim.token_lr=1e-4", "numbers are no secrets"),
    ("use_auth_token=True", "use_auth_token=True", "switches are no secrets"),
    ("monkey=capuchin", "monkey=capuchin", "a word inside of another is no name; roar-cli takes `key` out of `monkey`"),
    ("TOKENIZERS_PARALLELISM=false", "TOKENIZERS_PARALLELISM=false", "the same with capitals"),
    ("--password $DB_PASSWORD", "--password $DB_PASSWORD", "a reference to a variable tells nothing"),
    ("A_TOKEN='a1b2 c3d4!' x", "A_TOKEN='a1b2 c3d4!' x", "a token has no spaces; see DB_PASS for a password"),
    ("DB_PASS='hunter 22' x", "DB_PASS=[REDACTED] x", "roar-cli does not know PASS"),
    ("PGPASSWORD='hunter 22' x", "PGPASSWORD=[REDACTED] x", "roar-cli leaves the rest of a value with spaces"),
    ("DB_PASSWORD=20240117 x", "DB_PASSWORD=[REDACTED] x", "a long number may be a password"),
    ("--password letmein", "--password letmein", "a plain word may be a value such as `prompt`; roar-cli takes it"),
    ("mysql -phunter22", "mysql -p[REDACTED]", "roar-cli does not know -p"),
    ("curl -u me:hunter22 h", "curl -u me:[REDACTED] h", "roar-cli does not know -u"),
    (
        "curl -H 'Authorization: Bearer abcdefghijklmnop'",
        "curl -H 'Authorization: Bearer [REDACTED]'",
        "roar-cli wants 20 characters",
    ),
    ("curl -H 'X-API-Key: a1b2c3d4e5'", "curl -H 'X-API-Key: [REDACTED]'", "roar-cli reads headers in JSON only"),
    ("x mongodb+srv://u:p/w@h", "x mongodb+srv://u:[REDACTED]@h", "roar-cli does not know the scheme"),
]


@pytest.mark.parametrize(("text", "ours", "why"), DIFFERENCES)
def test_known_differences_from_roar_cli(text: str, ours: str, why: str) -> None:
    assert redacted(text) == ours
    roars = OmitFilter({}).filter_string(text).filtered
    if text != "A_TOKEN='a1b2 c3d4!' x":
        assert roars != ours, why


@pytest.mark.parametrize(
    "text", ["--password 12345678", "psql postgresql://u:123456@h/db", '{"db_password": "123456"}']
)
def test_a_longer_number_that_is_called_a_password_is_one(text: str) -> None:
    assert "[REDACTED]" in redacted(text)
    assert "123456" not in redacted(text)


@pytest.mark.parametrize("text", ["--password 12345", "--pad-token-id 1234567", "--seed 20240117", "--token 12345678"])
def test_other_numbers_stay(text: str) -> None:
    assert redacted(text) == text


def test_an_unredacted_lineage_has_the_hash_of_roar_cli() -> None:
    roar = OmitFilter({})
    both = [text for text in harmless_texts(1) if roar.filter_string(text).filtered == text]
    assert len(both) > 200
    assert all(redacted(text) == text for text in both)


@pytest.mark.parametrize(
    "text",
    [
        "train.py --api-key a1b2c3d4e5f6g7h8i9 --password 'hunter22' --token=a1b2c3d4e5f6g7h8 --epochs 3",
        "HF_TOKEN='a1b2c3d4e5f6' WANDB_API_KEY=a1b2c3d4e5f6 python train.py",
        "git clone https://me:secret@github.com/a/b && psql postgres://u:p@db/x",
        "curl -H 'Authorization: Bearer a1b2c3d4e5f6g7h8i9j0k1l2'",
        "pip install tiktoken==0.11.0 google-auth==2.0.0rc1 keyring==25.0",
        "python train.py --lr 0.1 --tokenizer bert-base --keys a,b",
    ],
)
def test_common_commands_are_redacted_as_in_roar_cli(text: str) -> None:
    assert redacted(text) == OmitFilter({}).filter_string(text).filtered


def test_a_secret_in_a_key_is_redacted_and_its_value_stays() -> None:
    first, second = ("hf" + "_" + 12 * one for one in ("aB3", "xY7"))
    redactor = Redactor(OmitConfig())
    value = {"users": {first: "ada", second: "bob"}, "tiktoken": "0.11.0"}
    assert redactor.value(value) == {
        "users": {"[HF_TOKEN_REDACTED]": "ada", "[HF_TOKEN_REDACTED] 1": "bob"},
        "tiktoken": "0.11.0",
    }
    assert redactor.keys(value) == redactor.value(value) == redactor.texts(value)


def test_a_key_that_looks_like_a_numbered_mark_keeps_its_value() -> None:
    first, second = ("hf" + "_" + 12 * one for one in ("aB3", "xY7"))
    redactor = Redactor(OmitConfig())
    value = {"[HF_TOKEN_REDACTED] 2": "kept", first: "ada", second: "bob"}
    for redact in (redactor.keys, redactor.value, redactor.texts):
        found = redact(value)
        assert isinstance(found, dict)
        assert sorted(found.values()) == ["ada", "bob", "kept"]


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        (["redis-cli", "-a", "hunter22", "ping"], ["redis-cli", "-a", "[REDACTED]", "ping"]),
        (["curl", "-u", "me:hunter22", "h"], ["curl", "-u", "me:[REDACTED]", "h"]),
        (["mysql", "-uroot", "-phunter22"], ["mysql", "-uroot", "-p[REDACTED]"]),
        (["openssl", "enc", "-k", "two words 22"], ["openssl", "enc", "-k", "[REDACTED]"]),
        (["curl", "-u", "me:it's 22x"], ["curl", "-u", "[REDACTED]"]),
        (["htpasswd", "-nb", "me", "hunter22"], ["htpasswd", "-nb", "me", "[REDACTED]"]),
        (["ls", "-a", "hunter22"], ["ls", "-a", "hunter22"]),
        (["a;redis-cli", "-n 1", "hunter22"], ["a;redis-cli", "-n 1", "hunter22"]),
    ],
)
def test_a_list_of_arguments_is_read_as_a_command(words: list[str], hidden: list[str]) -> None:
    assert Redactor(OmitConfig()).value(words) == hidden


def test_values_are_redacted_under_a_secret_name_and_after_a_flag() -> None:
    metadata: dict[str, object] = {
        "runtime": {"command": ["x", "--password", "hunter22", "--epochs", "3"], "env_vars": {"WANDB_API_KEY": "1.0"}},
        "packages": {"pip": {"tiktoken": "0.11.0", "google-auth": "2.0"}},
        "db_password": "hunter22",
        "api_keys": ["a1b2c3d4e5", "none"],
        "env": [{"name": "HF_TOKEN", "value": "a1b2c3d4e5f6"}, {"name": "LANG", "value": "C.UTF-8"}],
        "headers": {"Authorization": "Basic aHVudGVyOmh1bnRlcg"},
        "count": 3,
    }
    redactor = Redactor(OmitConfig())
    result = redactor.metadata(metadata)
    assert result == metadata | {
        "runtime": {
            "command": ["x", "--password", "[REDACTED]", "--epochs", "3"],
            "env_vars": {"WANDB_API_KEY": "[REDACTED]"},
        },
        "db_password": "[REDACTED]",
        "api_keys": ["[REDACTED]", "none"],
        "env": [{"name": "HF_TOKEN", "value": "[REDACTED]"}, {"name": "LANG", "value": "C.UTF-8"}],
        "headers": {"Authorization": "Basic [REDACTED]"},
    }
    assert redactor.findings()["environment-variable"] == 1


def test_the_configuration_adds_values_and_shapes_and_allows_others() -> None:
    omit = OmitConfig(
        values=("correct horse",),
        patterns=(CustomShape("plate", r"([A-Z]{2})-\d{4}", r"\1-XXXX"),),
        allowlist=(r"sk-test",),
    )
    redactor = Redactor(omit)
    assert redactor.text("correct horse AB-1234 sk-test" + "a" * 20) == "[REDACTED] AB-XXXX sk-test" + "a" * 20
    assert redactor.findings() == {"configured-value": 1, "plate": 1}


def test_a_pattern_matches_non_ascii_and_broken_text() -> None:
    redactor = Redactor(OmitConfig(patterns=(CustomShape("plate", r"[A-Z]{2}-\d{4}"),)))
    assert redactor.text("é😀 AB-1234 \ud800 DB_PASS=hunter22é") == "é😀 [REDACTED] \ud800 DB_PASS=[REDACTED]"


@pytest.mark.parametrize(
    ("replacement", "published"),
    [("[gelöscht]", "[gelöscht]"), (r"\g<town>-✂", "AB-✂"), (r"[\1]", "[AB]"), (r"a\nb", "a\nb"), ("", "[REDACTED]")],
)
def test_a_replacement_is_inserted_as_it_is_written(replacement: str, published: str) -> None:
    shape = CustomShape("plate", r"(?P<town>[A-Z]{2})-\d{4}", replacement or "[REDACTED]")
    assert Redactor(OmitConfig(patterns=(shape,))).text("the AB-1234.") == f"the {published}."


def test_disabled_redaction_changes_nothing() -> None:
    redactor = Redactor(OmitConfig(enabled=False))
    metadata: dict[str, object] = {"password": "x", "runtime": {"env_vars": {"HF_TOKEN": "x"}}}
    assert redactor.metadata(metadata) == metadata
    assert redactor.git_url("me@host:repo") == "me@host:repo"


@pytest.mark.parametrize(
    ("url", "published"),
    [
        ("https://me:pw@host/a.git", "https://me:[REDACTED]@host/a.git"),
        ("https://token@host/a.git", "https://[REDACTED]@host/a.git"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("deploytoken@gitlab.co:a/b.git", "[REDACTED]@gitlab.co:a/b.git"),
        ("ssh://git@host/a.git", "ssh://git@host/a.git"),
    ],
)
def test_a_git_url_loses_its_credentials_as_in_roar(url: str, published: str) -> None:
    assert Redactor(OmitConfig()).git_url(url) == published == OmitFilter({}).filter_git_url(url)[0]


@pytest.mark.parametrize(
    "bad",
    [
        CustomShape("mine", "("),
        CustomShape("mine", r"(a)\1(?=b)"),
        *(CustomShape("mine", "(a)", replacement) for replacement in (r"\9", r"\g<2>", r"\g<name>", "\\", r"\x")),
    ],
)
def test_an_unusable_pattern_is_reported(bad: CustomShape) -> None:
    with pytest.raises(LocalProblem, match="mine"):
        Redactor(OmitConfig(patterns=(bad,)))


def test_a_backtracking_pattern_runs_in_linear_time() -> None:
    redactor = Redactor(OmitConfig(patterns=(CustomShape("slow", r"(a+)+$"),), allowlist=(r"(x+x+)+y",)))
    start = time.process_time()
    assert redactor.text("a" * 50_000 + "b --password " + "x1" * 20_000).endswith("b --password=[REDACTED]")
    assert time.process_time() - start < 5


def test_a_pattern_with_too_many_matches_is_stopped() -> None:
    ticks = iter(range(0, 1_000, 2))
    redactor = Redactor(OmitConfig(patterns=(CustomShape("slow", "a.*z|a"),)), clock=lambda: float(next(ticks)))
    with pytest.raises(LocalProblem, match="'slow' takes too long"):
        redactor.text("a" * 1_000)


HOSTILE = [
    "a", "=", '"', "'", "\\", "token", "redis://", "?sig=", '"k":"', "a_token=", "token:", 'key:\\"', "password='",
    'token="', " -p ", " -u a:", "authorization: ", "'authorization: ", "bearer ", "x://a:b", "x://a:b@", "AKIA",
    "eyJ", "-----BEGIN PRIVATE KEY-----", "--password ", "\\'\\\"", "'token=\"", "mysql -p", "AKIAAAAAAAAAAAAAAAAA",
    "cookie: a", "é", "\ud800", "/api/webhooks/", "key=/", "\"token=a ",
    "redis-cli -a ", "redis-cli;", "openssl -k 'a", "htpasswd -b a ", "config a ", "login ", "auth=('",
    "echo a | sudo ", "passwd <<<", "curl -sSu a:", "mc alias set a ", "vault write a=", "sqlplus a/",
    "\n;", "'mysql -p ", "Auth(", "token:\n ", "token=$(", "token=${A:-", ".key=", "token=a,b=", "--token\\\n", "$(a)",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    # A quadratic scan needs minutes for this; the bound is far above what a loaded machine needs for a linear one.
    text = (unit * 200_000)[:200_000]
    start = time.process_time()
    redacted(text + " @ token=a1b2c3d4e5f6 'x'")
    assert time.process_time() - start < 10
