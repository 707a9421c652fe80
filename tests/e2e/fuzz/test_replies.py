"""A hostile registry: every endpoint's replies, in every form that a server can send."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from roar_publisher.glaas import compression
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths
from tests.support.auth.openssh import make_key
from tests.support.fuzz.cases import SLICES, Case, run_all
from tests.support.fuzz.program import REGISTRY, Ended, Place, roar
from tests.support.fuzz.promises import bounded, changes, files_below, holds_none, is_clean, listing
from tests.support.fuzz.registry import (
    ACCESS,
    ENDPOINTS,
    FEATURES,
    NEXT_ACCESS,
    NEXT_REFRESH,
    REFRESH,
    SESSION,
    Registry,
    sign_in,
)
from tests.support.fuzz.replies import tampering
from tests.support.fuzz.wire import Network
from tests.support.lineage.captured import captured_project

pytestmark = [
    # The library leaves its inner generators to the collector where a body is not read to its end; only trio minds.
    pytest.mark.filterwarnings("ignore:Async generator 'httpcore2:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning"),
]

USUAL = 120
FLAGS = {
    "nobody": ("--anonymous",),
    "bearer": ("--private",),
    "stale bearer": ("--private",),
    "environment": ("--private",),
    "key": ("--private",),
}
DISPLAYS = ((), ("--json",), ("-q",), ("-v",))
ENDS = ("open", "jobs", "artifacts", "finalize", "finalize", "finalize", "labels", "health")
LEGACY = ("legacy session", "legacy write")


@dataclass(frozen=True)
class Waiting:
    """A place with one publish that is planned, and of which the registry has nothing yet."""

    place: Place
    environ: Mapping[str, str]
    provisional: Mapping[str, str]
    publish_id: str
    private_key: str

    def hash_of(self, authorization: str) -> str:
        """What the registry computes: the hash names who signs."""
        signed = authorization.startswith(("Signature", "Bearer"))
        return next(value for identity, value in self.provisional.items() if signed is not (identity == "anonymous"))


@pytest.fixture(autouse=True)
def _large_requests_to_this_machine_are_compressed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "is_loopback", lambda host: False)
    monkeypatch.setattr(compression, "SMALLEST_BYTES", 200)


@pytest.fixture(scope="module")
def waiting(quick_folder: Path) -> Callable[[str, bool], Waiting]:
    """Makes the template for a credential once; the place itself is made anew for each case (`_fresh`)."""
    made: dict[tuple[str, bool], Waiting] = {}

    def get(credential: str, bulk: bool) -> Waiting:
        if (credential, bulk) not in made:
            folder = quick_folder / f"{credential} {bulk}"
            folder.mkdir()
            made[credential, bulk] = _prepare(credential, folder, bulk=bulk)
        return made[credential, bulk]

    return get


def _prepare(credential: str, folder: Path, *, bulk: bool) -> Waiting:
    place = Place(folder / "place")
    place.home.mkdir(parents=True)
    captured_project("linear", folder).rename(place.project)
    environ = _sign_in(credential, place)
    registry = Registry(lambda authorization: "", away_from="open", bulk=bulk)
    ended = roar(place, Network(registry.serve), "publish", "-y", *FLAGS[credential], environ=environ)
    assert ended.code == 3, ended.err
    (publish_id,) = place.publishes
    with Journal(_paths(place).journal, read_only=True) as journal:
        provisional = journal.plan().provisional
    key = place.home / ".ssh" / "id_ed25519"
    private_key = key.read_text().splitlines()[2] if key.exists() else ""
    shutil.copytree(place.root, folder / "template", symlinks=True)
    return Waiting(place, environ, provisional, publish_id, private_key)


def _sign_in(credential: str, place: Place) -> dict[str, str]:
    if credential == "environment":
        return {"ROAR_ACCESS_TOKEN": ACCESS}
    if credential == "key":
        (place.home / ".ssh").mkdir(mode=0o700)
        make_key(place.home / ".ssh" / "id_ed25519", "ed25519")
    if "bearer" in credential:
        sign_in(place.home, stale="stale" in credential)
    return {}


def _fresh(waiting: Waiting) -> Place:
    shutil.rmtree(waiting.place.root)
    shutil.copytree(waiting.place.root.with_name("template"), waiting.place.root, symlinks=True)
    return waiting.place


def _paths(place: Place) -> PublishPaths:
    (publish_id,) = place.publishes
    return PublishPaths(place.state / "publishes" / publish_id)


@pytest.mark.parametrize("part", SLICES)
def test_no_reply_of_a_registry_breaks_a_promise(part: int, waiting: Callable[[str, bool], Waiting]) -> None:
    def attack(case: Case) -> None:
        credential, bulk = case.rng.choice(list(FLAGS)), case.rng.random() < 0.5
        case.note(f"signed by {credential}{', in large requests' if bulk else ''}")
        _attack(case, credential, waiting(credential, bulk), bulk=bulk)

    run_all("replies", USUAL, part, attack)


def _attack(case: Case, credential: str, waiting: Waiting, *, bulk: bool) -> None:
    place = _fresh(waiting)
    registry = Registry(waiting.hash_of, bulk=bulk)
    if credential == "nobody" and case.rng.random() < 0.2:
        registry.features = dict.fromkeys(FEATURES, False)
        case.note("an older registry")
    staged = (*ENDS, "links", "links") if bulk else (*ENDS, "inputs", "outputs")
    by_nobody, by_stale_bearer = (*staged, *LEGACY), ("refresh", "refresh", "context", *staged)
    endpoints = {"nobody": by_nobody, "stale bearer": by_stale_bearer}.get(
        credential, ("context", "me", "probe", *staged)
    )
    registry.tamperings = [tampering(case, endpoints) for _ in range(case.rng.choice((1, 1, 2, 3)))]
    display = case.rng.choice(DISPLAYS)
    network = Network(registry.serve)
    before = listing(place)
    with bounded():
        ended = roar(place, network, "publish", "--resume", waiting.publish_id, "-y", *display, environ=waiting.environ)
    is_clean(ended, as_json="--json" in display)
    _check_published(ended, registry, waiting)
    assert network.hosts <= {"127.0.0.1:8123"}
    _check_files(place, before)
    shown = roar(place, network, "journal", "show", waiting.publish_id) if case.number % 4 == 0 else Ended(0, "", "")
    is_clean(shown, as_json=False)
    assert shown.code == 0
    canaries = (ACCESS, REFRESH, SESSION, NEXT_ACCESS, NEXT_REFRESH, *filter(None, [waiting.private_key]))
    written = {"stdout": ended.out, "stderr": ended.err, "the journal as shown": shown.out + shown.err}
    holds_none(canaries, {name: text.encode() for name, text in written.items()})
    holds_none(canaries, files_below(place.state, "session-token"))
    holds_none(canaries, files_below(place.project))


def _check_published(ended: Ended, registry: Registry, waiting: Waiting) -> None:
    """Who says "published" has it from a receipt that is sound in itself, or from a lineage that was there before."""
    with Journal(_paths(waiting.place).journal, read_only=True) as journal:
        progress = journal.progress()
    if ended.code != 0:
        return
    assert progress.state is State.DONE
    assert progress.hash is not None
    assert progress.hash in waiting.provisional.values(), "nothing is redacted in this project"
    assert progress.url is None or progress.url.startswith(f"{REGISTRY}/")
    closed = [answer.receipt for endpoint, answer in registry.answers if endpoint == "finalize"]
    sound = any(_is_sound(receipt, progress.hash, registry.staged) for receipt in closed if receipt is not None)
    sent_hashes = " ".join(str(answer.body) for endpoint, answer in registry.answers if endpoint == "jobs")
    assert sound or "legacy session" in dict(registry.answers) or progress.hash in sent_hashes, closed


def _is_sound(receipt: Mapping[str, object], lineage_hash: str, staged: Mapping[str, int]) -> bool:
    """Whether a receipt names the lineage and says nothing else of it than what was sent."""
    counts = receipt.get("staged_counts")
    counts = counts if isinstance(counts, dict) else {}
    differ = [name for name, number in staged.items() if isinstance(counts.get(name), int) and counts[name] != number]
    return _hash(receipt) == lineage_hash and not differ


def _hash(receipt: Mapping[str, object]) -> str:
    return str(receipt.get("hash")).strip().lower().removeprefix("sha256:")


def _check_files(place: Place, before: Mapping[str, tuple[int, int, int]]) -> None:
    """Nothing outside of the state folder but the sign-in that was refreshed and, once published, roar.db."""
    changed = changes(place, before)
    allowed = {str(place.home / ".config" / "roar" / name) for name in ("auth.json", "auth.json.lock")}
    with Journal(_paths(place).journal, read_only=True) as journal:
        published = journal.progress().hash is not None  # and may owe something yet
    if published:
        allowed |= {str(place.project / ".roar" / f"roar.db{suffix}") for suffix in ("", "-wal", "-shm", "-journal")}
    assert changed <= allowed


def test_the_honest_registry_publishes(waiting: Callable[[str, bool], Waiting]) -> None:
    """The cases begin from something that works, with every signature."""
    for number, credential in enumerate(FLAGS):
        bulk = number % 2 == 0
        case = waiting(credential, bulk)
        place, registry = _fresh(case), Registry(case.hash_of, bulk=bulk)
        command = ("publish", "--resume", case.publish_id, "-y", "--json")
        network = Network(registry.serve)
        ended = roar(place, network, *command, environ=case.environ)
        assert ended.code == 0, ended.out + ended.err
        assert set(registry.counts) <= set(ENDPOINTS), registry.counts
        assert ("links" in registry.counts) is bulk
        assert any(request.headers.get("content-encoding") == "gzip" for request in network.requests) is bulk
