"""`roar verify` as a process, against a real registry whose data another program changes."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli.program import Program
from tests.support.lineage.captured import recorded
from tests.support.registry.processes import served

HASH = recorded("linear", "session")["finalized_hash"]


def published(program: Program, registry: str) -> str:
    """Publish the project and return the publish's id."""
    assert program("publish", "--public", "-y", "-q", "--registry", registry).code == 0
    (publish_id,) = program.publishes
    return publish_id


def test_a_published_lineage_is_proven_by_hash_and_by_id(program: Program, registry: str) -> None:
    publish_id = published(program, registry)
    for arguments in ((HASH, "--registry", registry), (HASH,), (HASH[:8],), (publish_id,), (publish_id[:8],)):
        done = program("verify", *arguments)
        assert (done.code, done.err) == (0, "")
        assert done.out == f"Proven by its hash: {registry} serves {HASH} (2 jobs, 6 inputs, 6 outputs, 2 labels).\n"
    facts = program("verify", publish_id, "--json").last
    assert facts == {
        "event": "verified",
        "proven": True,
        "hash": HASH,
        "computed_hash": HASH,
        "registry": registry,
        "publish_id": publish_id,
        "finalized": True,
        "jobs": 2,
        "inputs": 6,
        "outputs": 6,
        "differences": [],
        "more_differences": 0,
        "uncompared": 0,
        "labels": 2,
        "edited_labels": 0,
        "labels_not_compared": "",
        "exit_code": 0,
    }


CHANGES = {
    "command": ("UPDATE jobs SET command = 'rm -rf /' WHERE step_number = 1", "command"),
    "metadata": ("UPDATE jobs SET metadata = '{}' WHERE step_number = 2", "metadata"),
    "a path": (
        "UPDATE links SET path = path || 'x' WHERE (job_id, kind, digest) IN (SELECT job_id, kind, digest FROM links"
        " WHERE kind = 'inputs' LIMIT 1)",
        "inputs[",
    ),
    "a lost link": (
        "DELETE FROM links WHERE (job_id, kind, digest) IN (SELECT job_id, kind, digest FROM links"
        " WHERE kind = 'outputs' LIMIT 1)",
        "outputs[",
    ),
    "a lost job": ("DELETE FROM jobs WHERE step_number = 2", "job"),
    "a label": (
        "UPDATE labels SET metadata = '{}' WHERE (entity_type, entity) IN (SELECT entity_type, entity FROM labels"
        " LIMIT 1)",
        "label metadata.",
    ),
    "the branch": ("UPDATE lineages SET git_branch = 'other'", "git.branch"),
    "the publisher": ("UPDATE lineages SET creator = 'glaas:user:mallory'", "creator_identity"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_lineage_is_named_field_by_field(program: Program, tmp_path: Path, change: str) -> None:
    statement, field = CHANGES[change]
    data = tmp_path / "registry"
    with served(data) as url:
        publish_id = published(program, url)
    with closing(sqlite3.connect(data / "registry.db")) as database, database:
        assert database.execute(statement).rowcount == 1
    with served(data) as url:
        (journal,) = (program.state / "publishes" / publish_id).glob("journal*.db")
        with closing(sqlite3.connect(journal)) as database, database:
            database.execute("UPDATE plan SET registry = ?", [url])  # its port is another one now
        done = program("verify", publish_id, "--json")
        plain = program("verify", HASH)
    assert (done.code, plain.code, done.last["proven"], done.last["exit_code"]) == (1, 1, False, 1)
    others = done.last["differences"]
    if not field.startswith("label"):  # which no hash covers
        hash_difference = others.pop(0)
        assert (hash_difference["job"], hash_difference["field"], hash_difference["ours"]) == ("lineage", "hash", HASH)
    assert others
    assert all(each["field"].startswith(field.partition("[")[0]) for each in others)
    assert others[0]["ours"] != others[0]["theirs"]
    assert plain.out.startswith(f"Differs: {url} does not serve {HASH}")
    assert f": {field}" in plain.out


def test_what_cannot_be_checked_has_its_own_exit_code(program: Program, registry: str) -> None:
    unknown = "a" * 64
    program("verify", unknown, "--registry", registry).blames(6, "private", "not published there", "roar login")
    done = program("verify", unknown, "--registry", registry, "--json")
    assert (done.code, done.last["event"], done.last["reason"], done.last["exit_code"]) == (6, "error", "auth", 6)


def test_what_names_no_published_lineage_is_a_usage_error(program: Program, registry: str) -> None:
    program("verify", "nothing").blames(2, "there is no publish 'nothing'")
    program("verify", HASH[:8]).blames(2, "no publish of this machine, and no lineage", "type the whole hash")
    program("verify", "abc", "--registry", registry).blames(2, "whole hash")


def test_a_redacted_lineage_is_proven(program: Program, registry: str) -> None:
    with closing(sqlite3.connect(program.cwd / ".roar" / "roar.db")) as database, database:
        database.execute("UPDATE jobs SET command = command || ' --token ghp_0123456789abcdefghijABCDEFGHIJ012345'")
    publish_id = published(program, registry)
    done = program("verify", publish_id, "--json")
    assert (done.code, done.last["proven"]) == (0, True)
    assert done.last["hash"] != HASH


def test_every_publish_is_verified_when_it_is_due(program: Program, registry: str) -> None:
    publish_id = published(program, registry)
    assert program("verify", "--all", "--older-than", "1d").out.startswith("0 lineages verified")
    done = program("verify", "--all", "--json")
    assert (done.code, [each["event"] for each in done.events]) == (0, ["verified", "done"])
    assert (done.events[0]["publish_id"], done.last["proven"]) == (publish_id, 1)
    (journal,) = (program.state / "publishes" / publish_id).glob("journal*.db")
    with closing(sqlite3.connect(journal)) as database, database:
        database.execute("UPDATE progress SET updated_at = updated_at - 200000")
    assert program("verify", "--all", "--older-than", "1d", "--json").last["proven"] == 0, "it was verified since"
    with closing(sqlite3.connect(program.state / "verify.db")) as database, database:
        database.execute("UPDATE checks SET at = at - 100000")
    assert program("verify", "--all", "--older-than", "1d", "--json").last["proven"] == 1
    program("verify", "--older-than", "1d", publish_id).blames(2, "requires --all")


def test_a_publish_verifies_itself(program: Program, registry: str) -> None:
    done = program("publish", "--public", "-y", "--verify", "--json", "--registry", registry)
    assert (done.code, done.last["event"], done.last["verification"]) == (0, "published", "proven")
    assert [each["state"] for each in done.events if each["event"] == "state"][-2:] == ["verify", "done"]
    (publish_id,) = program.publishes
    assert program("journal", "show", publish_id, "--json").last["verification"] == {"outcome": "proven", "why": ""}
    (journal,) = (program.state / "publishes" / publish_id).glob("journal*.db")
    with closing(sqlite3.connect(journal)) as database, database:
        kept = '{"outcome": "differs", "why": "the registry serves 1 difference"}'
        database.execute("UPDATE progress SET verification = ?", [kept])
    assert "differs: the registry serves 1 difference" in program("journal", "show", publish_id).out
    program("publish", "--resume", publish_id).blames(1, "the lineage is published, but it differs", "roar verify")


def test_a_publish_that_is_continued_stays_unverified_as_it_was_begun(program: Program, registry: str) -> None:
    """The configuration decides where a publish is begun; a typed option replaces it for good."""
    folder = Path(program.env["HOME"], ".config", "roar")
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[publisher]\nverify = true\n")
    begin = ("publish", "--anonymous", "--no-verify", "--registry", registry)
    assert program(*begin).code == 4, "it needs the user's consent"
    (publish_id,) = program.publishes
    done = program("publish", "--resume", publish_id, "-y", "--json")
    assert (done.code, done.last["event"]) == (0, "published")
    assert "verify" not in [each.get("state") for each in done.events]
