"""`roar summary`: Markdown and variables from the lines of `--json`, whose texts are anyone's."""

import json
from html import unescape
from typing import Any

import pytest
from click.testing import CliRunner

from roar_publisher.cli.summary import summary
from roar_publisher.events import ErrorEvent, NoteEvent, PlannedEvent, Published

PLANNED = PlannedEvent(
    publish_id="12345678",
    resumed=False,
    registry="https://registry.example",
    target=None,
    destination=None,
    jobs=2,
    inputs=1,
    outputs=1,
    artifacts=2,
    labels=0,
    redactions={"token": 3},
)
PUBLISHED = Published(
    hash="ab" * 32,
    url="https://registry.example/dag/ab",
    jobs=2,
    inputs=1,
    outputs=1,
    publish_id="12345678",
    visibility="public",
    identity="glaas:user:alice",
    owner=None,
    project=None,
    destination="s3://bucket/run",
    files=2,
    bytes=1500,
)
NASTY = "a|b\n| c | <img src=x> [link](https://evil.example) **x** www.evil.example @all `$(touch x)`\x1b[2J"


def summarised(*events: Any, options: tuple[str, ...] = ()) -> str:
    lines = "".join(f"{event if isinstance(event, str) else json.dumps(event.as_dict())}\n" for event in events)
    done = CliRunner().invoke(summary, [*options, "-"], input=lines)
    assert done.exit_code == 0, done.output
    return done.output


def failed(what: str, exit_code: int = 4) -> ErrorEvent:
    return ErrorEvent(what=what, kept="", next=what, reason="auth", exit_code=exit_code, publish_id="12345678")


@pytest.mark.parametrize(
    ("kept", "next_step", "shown"),
    [
        ("Publish 12345678 keeps all.", "roar publish --resume 12345678", "run this job again"),
        ("", "sign in; then: roar publish --resume 12345678", "sign in; then run this job again"),
        ("", "roar journal retry 12345678; then: roar journal list", "run this job again"),
        ("Nothing was sent.", "commit them; then: put again", "commit them; then: put again"),
    ],
)
def test_no_command_needs_a_journal_that_is_gone(kept: str, next_step: str, shown: str) -> None:
    error = ErrorEvent(
        what="it stopped", kept=kept, next=next_step, reason="offline", exit_code=3, publish_id="12345678"
    )
    text = unescape(summarised(PLANNED, error, options=("--without-journal",)))
    assert f"| Next | {shown} |" in text
    assert ("| Kept |" in text) is kept.startswith("Nothing")
    assert f"| Next | {next_step} |" in unescape(summarised(PLANNED, error))


def test_a_published_lineage_is_linked_and_counted() -> None:
    text = summarised(PLANNED, NoteEvent(text="a label was left out"), PUBLISHED)
    assert text.startswith("### roar: published\n")
    assert text.endswith("\n\n- a label was left out\n")
    assert f"| Lineage | [{'ab' * 32}](https://registry.example/dag/ab) |" in text
    assert "| Size | 2 jobs, 1 input, 1 output |" in text
    assert "| Stored | 2 files, 1.5 kB in s3&#58;" in text
    assert "| Redacted | token: 3 |" in text
    assert summarised(PLANNED, PUBLISHED, options=("--variables",)).splitlines() == [
        "ROAR_PUBLISH_STATE=done",
        "ROAR_PUBLISH_ID=12345678",
        f"ROAR_PUBLISH_HASH={'ab' * 32}",
        "ROAR_PUBLISH_URL=https://registry.example/dag/ab",
    ]


@pytest.mark.parametrize(
    ("code", "words"), [(1, "failed"), (3, "interrupted, resumable"), (4, "needs you"), (130, "stopped, resumable")]
)
def test_a_failure_has_its_outcome_and_its_remedy(code: int, words: str) -> None:
    text = summarised(failed("sign in", code))
    assert text.startswith(f"### roar: {words}\n")
    assert "| Next | sign in |" in text
    assert f"| Exit code | {code} |" in text


def test_no_text_becomes_markup_a_link_or_another_line() -> None:
    """The heading, the sentence, the table's two lines and its rows, whatever the server said."""
    plain, nasty = summarised(failed("x")), summarised(failed(NASTY))
    assert len(plain.splitlines()) == len(nasty.splitlines())
    shown = "".join(line for line in nasty.splitlines() if "evil" in line).removeprefix("| Next | ")
    assert not set(shown) & set("<>[]()`*_@.:/$\x1b\n")
    variables = summarised(failed(NASTY), options=("--variables",)).splitlines()
    assert [line.partition("=")[0] for line in variables] == [f"ROAR_PUBLISH_{x}" for x in ("STATE", "ID", "REASON")]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://x)[y](https://evil.example", "https://a\nHASH=b"])
def test_an_address_that_is_none_is_no_link(url: str) -> None:
    event = Published(**{**{name: getattr(PUBLISHED, name) for name in PUBLISHED.__slots__}, "url": url})
    assert f"| Lineage | {'ab' * 32} |" in summarised(event)
    assert "URL" not in summarised(event, options=("--variables",))


def test_a_publish_that_was_killed_has_no_result() -> None:
    text = summarised(PLANNED, '{"event": "publi')
    assert text.startswith("### roar: ended without a result\n")
    assert "12345678" in text
    assert summarised(PLANNED, options=("--variables",)).splitlines()[1:] == ["ROAR_PUBLISH_ID=12345678"]
    assert summarised(options=("--variables",)) == "ROAR_PUBLISH_STATE=failed\n"


def test_a_publish_that_was_left_to_the_daemon_is_named() -> None:
    text = summarised(PLANNED, json.dumps({"event": "detached", "publish_id": "12345678"}))
    assert text.startswith("### roar: left to the daemon\n")
    assert "| Publish | 12345678 |" in text


def test_what_is_published_stays_so_whatever_differs_afterwards() -> None:
    """Labels that the registry does not take, or a read-back that differs, come after `published`."""
    events = (PLANNED, PUBLISHED, failed("it serves other labels", exit_code=1))
    text = summarised(*events)
    assert text.startswith("### roar: published\n")
    assert "- it serves other labels" in text
    lines = summarised(*events, options=("--variables",)).splitlines()
    assert lines[:3] == ["ROAR_PUBLISH_STATE=done", "ROAR_PUBLISH_ID=12345678", f"ROAR_PUBLISH_HASH={'ab' * 32}"]


@pytest.mark.parametrize("event", ["detached", "dry-run"])
def test_what_did_not_fail_is_not_called_so(event: str) -> None:
    line = json.dumps({"event": event, "publish_id": "12345678", "jobs": 2, "registry": "https://registry.example"})
    assert "STATE" not in summarised(PLANNED, line, options=("--variables",))
    assert "without a result" not in summarised(line)


def test_no_value_becomes_another_variable() -> None:
    event = Published(**{**{name: getattr(PUBLISHED, name) for name in PUBLISHED.__slots__}, "hash": "ab\nPATH=/evil"})
    lines = summarised(event, options=("--variables",)).splitlines()
    assert [line.partition("=")[0] for line in lines] == [f"ROAR_PUBLISH_{x}" for x in ("STATE", "ID", "HASH", "URL")]
