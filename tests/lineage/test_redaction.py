"""Secrets go, everything else stays, and no text takes long."""

import json
import random
import time

import pytest

from roar_publisher.lineage.project import CustomShape, OmitConfig
from roar_publisher.lineage.redaction import Redactor
from roar_publisher.lineage.secret_shapes import BUILT_IN
from roar_publisher.state.errors import LocalProblem
from tests.lineage.roarcli import OmitFilter

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
# shape -> (a text with a secret, the secret, a text that only looks like one)
SHAPES = {
    "aws_access_key": ("use AKIA" + "A" * 16, "AKIA" + "A" * 16, "AKIA is short"),
    "aws_secret_key": (f"aws_secret: {LETTERS[:40]}", LETTERS[:40], "aws_secretariat"),
    "github_token": ("ghp_" + LETTERS[:36], LETTERS[:36], "ghp_tooshort"),
    "github_pat": (f"github_pat_{LETTERS[:22]}_{(LETTERS * 2)[:59]}", LETTERS[:22], "github_pat_x"),
    "openai_key": ("sk-" + LETTERS[:20], LETTERS[:20], "sk-learn"),
    "anthropic_key": ("sk-ant-api03-x_y", "api03-x", "sk-antarctic"),
    "huggingface_token": ("hf_" + LETTERS[:30], LETTERS[:30], "hf_hub"),
    "gitlab_token": ("glpat-" + LETTERS[:20], LETTERS[:20], "glpat-x"),
    "slack_token": ("xoxb-123456789012-abc", "123456789012", "xoxb-1"),
    "api_key_argument": ("run --api-key abcdefghijklmnop", "abcdefghijklmnop", "run --api-key-file f"),
    "token_argument": ("run --hf-token abcdefghijklmnop", "abcdefghijklmnop", "run --token-count 5"),
    "password_argument": ("run --password hunter2", "hunter2", "run --password-file f"),
    "secret_argument": ("run --secret hunter2", "hunter2", "run --secretive x"),
    "bearer_token": ("Authorization: Bearer " + LETTERS[:24], LETTERS[:24], "bearer of news"),
    "url_credentials": ("https://me:hunter2@host/x", "hunter2", "https://host:8080/a@b"),
    "url_userinfo": ("https://hunter2@host/x", "hunter2", "ssh://git@host/x"),
    "connection_string": ("mongodb+srv://me:hunt/er2@host", "hunt/er2", "redis://host:6379/0"),
    "private_key": (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIhunter2\n-----END RSA PRIVATE KEY-----",
        "MIIhunter2",
        "-----BEGIN PUBLIC KEY-----",
    ),
    "slack_webhook": ("https://hooks.slack.com/services/T0/B0/hunter", "hunter", "https://slack.com/services"),
    "named_assignment": ("WANDB_API_KEY=hunter2 run", "hunter2", "tiktoken==0.11.0 authlib=1.3.0rc1 monkey=1.0"),
    "named_json_value": ('{"apiKey": "hunter2"}', "hunter2", '{"tiktoken": "0.11.0", "tokenizer": "bert"}'),
    "presigned_url": ("https://b.s3/x?X-Amz-Signature=hunter2&y=1", "hunter2", "https://b.s3/x?signature-free"),
}


def test_every_built_in_shape_is_in_the_table() -> None:
    assert [shape.id for shape in BUILT_IN] == list(SHAPES)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_secret_goes_and_is_counted_by_its_shape(shape: str) -> None:
    text, secret, _harmless = SHAPES[shape]
    redactor = Redactor(OmitConfig())
    assert secret not in redactor.text(text)
    assert shape in redactor.findings()
    assert secret not in repr(redactor.findings())


@pytest.mark.parametrize("shape", SHAPES)
def test_what_only_looks_like_a_secret_stays(shape: str) -> None:
    harmless = SHAPES[shape][2]
    redactor = Redactor(OmitConfig())
    assert redactor.text(harmless) == harmless
    assert redactor.findings() == {}


@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_roar_redacts_gets_through(seed: int) -> None:
    chance = random.Random(seed)
    words = [part for row in SHAPES.values() for part in (row[0], row[2])]
    words += ["tiktoken==0.11.0", "--epochs 3", "a=b", "==", '"', "'", "\\", "--token", "=", ":", "x" * 20]
    redactor, roar = Redactor(OmitConfig()), OmitFilter({})
    for _ in range(50):
        text = chance.choice(["", " ", "="]).join(chance.sample(words, chance.randrange(1, 5)))
        ours = redactor.text(text)
        secrets = [row[1] for row in SHAPES.values()]
        kept_by_roar = roar.filter_string(text).filtered
        leaked = [secret for secret in secrets if secret in ours and secret not in kept_by_roar]
        assert not leaked, f"seed {seed}: {text!r} -> {ours!r}"


@pytest.mark.parametrize(
    "text",
    [
        "train.py --api-key sk-abcdefghijklmnopqrstuv --epochs 3",
        "OPENAI_API_KEY=sk-abcdefghijklmnopqrstuv HF_TOKEN='x' python train.py",
        'ray job submit --runtime-env-json \'{"env_vars": {"HF_TOKEN": "abc", "tiktoken": "0.11.0"}}\'',
        "git clone https://me:secret@github.com/a/b && psql postgres://u:p@db/x",
        "curl -H 'Authorization: Bearer abcdefghijklmnopqrstuvwxyz'",
        "pip install tiktoken==0.11.0 google-auth==2.0.0rc1 keyring==25.0",
        "python train.py --lr 0.1 --tokenizer bert-base --keys a,b",
    ],
)
def test_common_commands_come_out_as_roar_sends_them(text: str) -> None:
    assert Redactor(OmitConfig()).text(text) == OmitFilter({}).filter_string(text).filtered


@pytest.mark.parametrize("shape", SHAPES)
def test_a_second_pass_changes_and_finds_nothing(shape: str) -> None:
    once = Redactor(OmitConfig()).text(SHAPES[shape][0])
    again = Redactor(OmitConfig())
    assert again.text(once) == once
    assert again.findings() == {}


def test_values_are_redacted_under_a_secrets_name_and_after_a_flag() -> None:
    metadata: dict[str, object] = {
        "runtime": {"command": ["x", "--password", "hunter2", "--epochs", "3"], "env_vars": {"WANDB_API_KEY": "1.0"}},
        "packages": {"pip": {"tiktoken": "0.11.0", "google-auth": "2.0"}},
        "db_password": "hunter2",
        "count": 3,
    }
    redactor = Redactor(OmitConfig())
    result = redactor.metadata(metadata)
    assert "hunter2" not in json.dumps(result)
    assert result["packages"] == metadata["packages"]
    assert result["count"] == 3
    assert result["runtime"] == {
        "command": ["x", "--password", "[REDACTED]", "--epochs", "3"],
        "env_vars": {"WANDB_API_KEY": "[REDACTED]"},
    }
    assert redactor.findings()["environment_variable"] == 1


def test_the_configuration_adds_values_and_shapes_and_allows_others() -> None:
    omit = OmitConfig(
        values=("correct horse",),
        patterns=(CustomShape("plate", r"([A-Z]{2})-\d{4}", r"\1-XXXX"),),
        allowlist=(r"sk-test",),
    )
    redactor = Redactor(omit)
    assert redactor.text("correct horse AB-1234 sk-test" + "a" * 20) == "[REDACTED] AB-XXXX sk-test" + "a" * 20
    assert redactor.findings() == {"configured_value": 1, "plate": 1}


def test_nothing_is_redacted_when_that_is_switched_off() -> None:
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


@pytest.mark.parametrize("bad", [CustomShape("mine", "("), CustomShape("mine", "a", r"\9")])
def test_a_broken_pattern_is_named(bad: CustomShape) -> None:
    with pytest.raises(LocalProblem, match="mine"):
        Redactor(OmitConfig(patterns=(bad,)))


@pytest.mark.parametrize(
    "unit", [row[0] for row in SHAPES.values()] + ["a", "=", '"', "token", "redis://", "?sig=", '"k":"']
)
def test_hostile_megabytes_take_linear_time(unit: str) -> None:
    # A quadratic expression needs hours for this; the bound is far above what a loaded machine needs for a linear one.
    text = (unit * 1_000_000)[:1_000_000]
    start = time.process_time()
    Redactor(OmitConfig()).text(text + " @")
    assert time.process_time() - start < 20
