"""Which credential publishes: what a person chose, or just has; by what can be done with it, and by what is asked for.

Explicit credentials are used, or the publish stops. Implicit ones that cannot be used stop it as well; only a key that
the registry clearly rejects leads to an anonymous publish, and then the result says so. In every row of an explicit
credential another person's key lies in `~/.ssh`: it must never sign.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.identity import identity_of_key
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.report import Noted
from roar_publisher.state.errors import Conclusion, NeedsUser
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.support.auth.worlds import ALICE, BOB, BY_BEARER, BY_KEY, World, key_of
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import chain, cut

LINEAGE = cut(chain(1))
KEY_ITSELF = identity_of_key(key_of(ALICE).get_fingerprint())
STOPS, UNSURE = "stops", "stops: the registry did not say"
USABLE, REJECTED, UNUSABLE, INCONCLUSIVE = "usable", "rejected", "unusable", "inconclusive"
FLAGS = (Flag.PUBLIC, Flag.PRIVATE, Flag.NONE, Flag.ANONYMOUS)


def key_file(path: Path, *, locked: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(locked_key() if locked else key_of(ALICE).export_private_key())


@cache
def locked_key() -> bytes:
    """Alice's key behind a passphrase, which takes a good part of a second to make."""
    return key_of(ALICE).export_private_key(passphrase="a passphrase")


def usual_key(world: World, state: str) -> None:
    key_file(world.home / ".ssh" / "id_ed25519", locked=state == UNUSABLE)
    world.let_key_in()
    if state == REJECTED:
        world.lock_key_out()


def named_key(world: World, state: str) -> None:
    world.make_key(BOB)
    path = world.home / "elsewhere" / "key"
    key_file(path, locked=state == UNUSABLE)
    world.let_key_in()
    if state == REJECTED:
        world.lock_key_out()
    world.environ["ROAR_SSH_KEY"] = str(path)


def token(world: World, state: str) -> None:
    world.make_key(BOB)
    world.export_token()
    if state == REJECTED:
        world.end_sign_in()
    if state == UNUSABLE:
        world.environ["ROAR_ACCESS_TOKEN"] = "not a token"


def sign_in(world: World, state: str) -> None:
    world.sign_in()
    if state == REJECTED:
        world.end_sign_in()
    if state == UNUSABLE:
        (world.home / ".config" / "roar" / "auth.json").write_text("no JSON")


GIVERS: dict[str, Callable[[World, str], None]] = {
    "ROAR_ACCESS_TOKEN": token,
    "roar login": sign_in,
    "ROAR_SSH_KEY": named_key,
    "~/.ssh": usual_key,
}
# fmt: off
TABLE: dict[tuple[str, str], tuple[str, str, str, str]] = {
    # explicit or implicit, and its state        --public    --private   no flag     --anonymous
    ("ROAR_ACCESS_TOKEN", USABLE):              (BY_BEARER,  BY_BEARER,  BY_BEARER,  ANONYMOUS_IDENTITY),
    ("ROAR_ACCESS_TOKEN", REJECTED):            (STOPS,      STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("ROAR_ACCESS_TOKEN", UNUSABLE):            (STOPS,      STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("ROAR_ACCESS_TOKEN", INCONCLUSIVE):        (STOPS,      STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("roar login", USABLE):                     (BY_BEARER,  BY_BEARER,  BY_BEARER,  ANONYMOUS_IDENTITY),
    ("roar login", REJECTED):                   (STOPS,      STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("roar login", UNUSABLE):                   (STOPS,      STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("roar login", INCONCLUSIVE):               (BY_BEARER,  BY_BEARER,  BY_BEARER,  ANONYMOUS_IDENTITY),
    ("ROAR_SSH_KEY", USABLE):                   (BY_KEY,     KEY_ITSELF, KEY_ITSELF, ANONYMOUS_IDENTITY),
    ("ROAR_SSH_KEY", REJECTED):                 (STOPS,      STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("ROAR_SSH_KEY", UNUSABLE):                 (STOPS,      STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("ROAR_SSH_KEY", INCONCLUSIVE):             (KEY_ITSELF, KEY_ITSELF, UNSURE,     ANONYMOUS_IDENTITY),
    ("~/.ssh", USABLE):                         (BY_KEY,     KEY_ITSELF, KEY_ITSELF, ANONYMOUS_IDENTITY),
    ("~/.ssh", REJECTED):                       (ANONYMOUS_IDENTITY,  STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("~/.ssh", UNUSABLE):                       (STOPS,      STOPS,      STOPS,      ANONYMOUS_IDENTITY),
    ("~/.ssh", INCONCLUSIVE):                   (KEY_ITSELF, KEY_ITSELF, UNSURE,     ANONYMOUS_IDENTITY),
}
# fmt: on
CASES = [
    (*row, flag, outcome) for row, outcomes in TABLE.items() for flag, outcome in zip(FLAGS, outcomes, strict=True)
]


def does_not_say(path: str) -> httpx2.Response | None:
    """A registry that has neither `/auth/me` nor the probe."""
    missing = path.endswith("/auth/me") or path == "/api/v1/sessions"
    return httpx2.Response(404, json={"detail": "Endpoint not found"}) if missing else None


@pytest.mark.parametrize(
    ("credential", "state", "flag", "outcome"),
    CASES,
    # The outcome is left out: it may hold a fingerprint, which differs between the processes of a test run.
    ids=[f"{credential}-{state}-{flag.value or 'no flag'}" for credential, state, flag, _ in CASES],
)
def test_the_decision_for_each_credential(credential: str, state: str, flag: Flag, outcome: str, memory: Path) -> None:
    by_key = flag in (Flag.PRIVATE, Flag.NONE) or state == INCONCLUSIVE
    world = World(memory, LINEAGE, flag, people=(BY_BEARER, KEY_ITSELF if by_key else BY_KEY))

    async def scenario() -> None:
        GIVERS[credential](world, state)
        if state == INCONCLUSIVE:
            world.instead = does_not_say
        end = await world.live()
        if outcome in (STOPS, UNSURE):
            stopped(world, end, credential, flag, outcome)
            return
        assert isinstance(end, Progress), end
        assert (end.state, end.identity) == (State.DONE, outcome)
        world.check_published(BY_KEY if outcome == KEY_ITSELF else outcome)
        noted = any("so this publish is anonymous" in note.text for note in world.reports if isinstance(note, Noted))
        assert noted == (state == REJECTED and flag is Flag.PUBLIC)

    run_virtually(scenario, 0)


def stopped(world: World, end: object, credential: str, flag: Flag, outcome: str) -> None:
    """Assert that nothing was sent, and that the user reads which credential failed, why, and what to do."""
    assert isinstance(end, NeedsUser), end
    assert end.conclusion is Conclusion.NEEDS_USER
    assert all(sent.status >= 400 for sent in world.calls("/registration-sessions"))
    names = {"roar login": ("sign-in",), "~/.ssh": (".ssh/id_ed25519", "SSH key"), "ROAR_SSH_KEY": ("key",)}
    assert any(name in end.what for name in names.get(credential, (credential,))), end.what
    if flag is Flag.PUBLIC and credential != "ROAR_ACCESS_TOKEN":
        assert "--anonymous" in end.next_step, end.next_step
    if outcome == UNSURE:
        assert "did not say" in end.what
