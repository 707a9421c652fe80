"""Publishes that wait, and what `roar journal show ID --why --json` says of them."""

from typing import Any

from roar_publisher.exit_codes import exit_code_of
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from tests.support.cli.program import Program
from tests.support.lineages import chain, cut, frozen

PATIENCE_SECONDS = 300.0
"""How long a busy machine may take until the daemon records a reason. A failing server is asked eight times before."""
LINEAGE = cut(chain(3))
SIGN_IN = {
    "version": 1,
    "provider": "treqs-device",
    "issuer": "https://treqs.example",
    "client_id": "roar-cli",
    "access_token": "an-unknown-token",
    "refresh_token": None,
    "expires_at": "2199-01-01T00:00:00Z",
    "user": {"sub": "user-1", "db_user_id": "db-1", "email": "someone@example.org", "username": "someone"},
}
Why = dict[str, Any]


def queue(program: Program, registry: str, *, agreed: bool = True) -> str:
    """Leave the sample lineage to the daemon."""
    with frozen(StateFolder(program.state), LINEAGE, registry=registry) as owned:
        owned.journal.queue.configure(agreed=agreed)
        owned.journal.queue.detach()
        return owned.paths.id


def paths_of(program: Program, publish_id: str) -> PublishPaths:
    return StateFolder(program.state).find(publish_id)


def why(program: Program, publish_id: str) -> Why:
    asked = program("journal", "show", publish_id, "--why", "--json")
    assert (asked.code, asked.err) == (0, ""), asked.err
    return dict(asked.last)


def check_reason(answer: Why, reason: Reason, turn: Turn | None = None) -> None:
    """Assert that the answer is this reason, with all that belongs to it.  turn: where it is not the reason's."""
    meaning = MEANINGS[reason]
    assert answer["reason"] == reason, answer
    expected = (exit_code_of(meaning.conclusion), turn or meaning.turn, meaning.text)
    assert (answer["exit_code"], answer["turn"], answer["meaning"]) == expected
