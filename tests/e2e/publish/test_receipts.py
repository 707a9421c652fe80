"""What a person, a program and the journal get from a registry whose answers do not match what was sent."""

import json

import pytest

from tests.support.cli.program import Program
from tests.support.engine.lying import Liar
from tests.support.lineage.captured import recorded

HASH = recorded("linear", "session")["finalized_hash"]
OTHER = "b" * 64


def honest() -> Liar:
    """A registry that takes the project `linear`."""
    return Liar(HASH, jobs=2, inputs=6, outputs=6)


def test_a_mismatching_receipt_is_reported_kept_and_requested_again(program: Program) -> None:
    with honest().served() as liar:
        liar.lies["finalize"] = lambda answer: answer | {"hash": OTHER}
        done = program("publish", "--public", "-y", "--registry", liar.url)
        done.blames(1, "receipt does not match", OTHER, HASH, "journal show", "journal retry")
        assert "Published" not in done.out + done.err
        (publish_id,) = program.publishes
        why = json.loads(program("journal", "show", publish_id, "--why", "--json").out)
        assert (why["reason"], why["turn"], why["exit_code"]) == ("receipt", "person", 1)
        assert why["receipt"]["hash"] == OTHER
        assert OTHER in program("journal", "show", publish_id, "--why").out

        assert program("publish", "--resume", publish_id, "-y").code == 1, "it has failed, and is not resumed"
        del liar.lies["finalize"]
        assert program("journal", "retry", publish_id).code == 0
        done = program("publish", "--resume", publish_id, "-y", "-q")
    assert (done.code, done.out.splitlines()) == (0, [HASH, f"{liar.url}/dag/{HASH}"])


def test_a_program_reads_the_reason(program: Program) -> None:
    with honest().served() as liar:
        liar.lies["finalize"] = lambda answer: answer | {"staged_counts": {"jobs": 1}}
        done = program("publish", "--public", "-y", "--json", "--registry", liar.url)
    events = [json.loads(line) for line in done.out.splitlines()]
    assert "published" not in [event["event"] for event in events]
    last = events[-1]
    assert (done.code, last["event"], last["reason"], last["exit_code"]) == (1, "error", "receipt", 1)
    assert "it counts 1 jobs, but 2 were sent" in last["what"]


def test_rejected_labels_set_the_exit_code_of_every_view(program: Program) -> None:
    with honest().served() as liar:
        liar.lies["labels/batch"] = lambda answer: answer | {"created": 0}
        done = program("publish", "--public", "-y", "--json", "--registry", liar.url)
        events = [json.loads(line) for line in done.out.splitlines()]
        assert [event["event"] for event in events[-2:]] == ["published", "error"]
        assert (done.code, events[-2]["hash"], events[-1]["reason"]) == (1, HASH, "receipt")
        (publish_id,) = program.publishes
        again = program("publish", "--resume", publish_id, "-y")
        watched = program("publish", "--watch", publish_id)
    for done in (again, watched):
        done.blames(1, "the lineage is published, but", "did not accept", "label sync")
    why = json.loads(program("journal", "show", publish_id, "--why", "--json").out)
    assert (why["status"], why["reason"], why["exit_code"]) == ("done", "receipt", 1)


def test_a_page_on_another_host_is_shown_by_its_host(program: Program) -> None:
    with honest().served() as liar:
        liar.lies["finalize"] = lambda answer: answer | {"url": f"https://evil.example/dag/{HASH}"}
        done = program("publish", "--public", "-y", "--registry", liar.url)
    assert done.code == 0
    assert "names a page on another site (evil.example); it is not shown as a link" in done.err
    assert "https://evil" not in done.out + done.err


@pytest.mark.parametrize("command", [("publish", "--public", "-y"), ("journal", "list"), ("daemon", "status")])
def test_a_state_folder_that_others_may_write_stops_every_command(program: Program, command: tuple[str, ...]) -> None:
    program("journal", "list")
    program.state.mkdir(exist_ok=True)
    program.state.chmod(0o775)
    program(*command).blames(1, "other users can write to", "chmod go-w", "ROAR_STATE_DIR")
