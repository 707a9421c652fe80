"""Registries that say "published" of something else than what they were sent, each on a real socket."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from msgspec.structs import asdict

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.keyring import Keyring
from roar_publisher.engine.run import Frontend, Resources
from roar_publisher.engine.worker import work
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.publishing.result import Result
from roar_publisher.report import Noted, Report
from roar_publisher.state.debts import DebtKind
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.status_reader import count_status
from tests.support.engine.lying import Document, Liar, Lie
from tests.support.lineages import chain, cut, plan_of
from tests.support.send_policies import policy_for

LINEAGE = cut(chain(6), batch=lambda: 4)
OTHER = "b" * 64
FEW = {"jobs": 6, "inputs": 6, "outputs": 6}


@dataclass
class Client:
    """One publish of LINEAGE to a registry.  redactions: what the plan says was taken out."""

    folder: StateFolder
    paths: PublishPaths
    reports: list[Report]

    @classmethod
    def of(
        cls, folder: StateFolder, registry: str, *, published: dict[str, str] | None = None, redacted: bool = False
    ) -> "Client":
        publish = OwnedPublish.create(folder)
        plan = asdict(plan_of(LINEAGE, publish.paths.id, registry=registry))
        hashes = {ANONYMOUS_IDENTITY: LINEAGE.hash} if published is None else published
        facts = plan | {"published": hashes, "redactions": {"aws-key": 1} if redacted else {}}
        with publish:
            publish.journal.units.add(LINEAGE.units)
            publish.journal.freeze(type(plan_of(LINEAGE, "x"))(**facts))
        return cls(folder, publish.paths, [])

    def run(self) -> Progress:
        async def confirm(choice: Choice) -> bool:
            return True

        async def drive() -> Progress:
            with OwnedPublish.open(self.paths) as owned:
                return await work(
                    owned,
                    self.folder,
                    Frontend(report=self.reports.append, confirm=confirm),
                    stop=anyio.Event(),
                    keyring=Keyring({}, self.folder.root, policy_for(home=self.folder.root), clock=lambda: 0.0),
                    resources=Resources(patience=0),
                )

        return anyio.run(drive)

    def retry(self) -> None:
        """`roar journal retry`."""
        with OwnedPublish.open(self.paths) as owned:
            owned.journal.checkpoint(Event.RETRIED)

    @property
    def notes(self) -> str:
        """What a person reads, but for the word that there is no roar.db."""
        texts = (report.text for report in self.reports if isinstance(report, Noted))
        return "\n".join(text for text in texts if "roar.db" not in text)


def says(**fields: Any) -> Lie:
    """Other values for these fields."""
    return lambda answer: answer | fields


def counts(**fields: Any) -> Lie:
    return lambda answer: answer | {"staged_counts": answer["staged_counts"] | fields}


def without(*names: str) -> Lie:
    """The honest answer of a server that does not say these fields."""
    return lambda answer: {name: value for name, value in answer.items() if name not in names}


def some_labels(answer: Document) -> Document:
    return answer | {"created": answer["created"] - 1, "skipped": 1}


FINALIZE_LIES: dict[str, tuple[Lie, str]] = {
    "session still active": (says(status="active"), "the session is active, not closed"),
    "session pending": (says(status="pending"), "the session is pending"),
    "status is empty": (says(status=""), "the session is empty"),
    "hash is not a hash": (says(hash="latest"), "its hash is not a hash: latest"),
    "hash is empty": (says(hash=""), "its hash is not a hash"),
    "hash is shorter": (says(hash=LINEAGE.hash[:63]), "its hash is not a hash"),
    "hash is a path": (says(hash=f"../{OTHER[:61]}"), "its hash is not a hash"),
    "hash steers a terminal": (says(hash="\x1b[2Jowned"), "its hash is not a hash: [2jowned"),
    "hash of another lineage": (says(hash=OTHER), f"its hash is {OTHER}"),
    "no jobs counted": (counts(jobs=0), "it counts 0 jobs, but 6 were sent"),
    "a job too few": (counts(jobs=5), "it counts 5 jobs"),
    "a job too many": (counts(jobs=7), "it counts 7 jobs"),
    "inputs missing": (counts(inputs=0), "it counts 0 inputs"),
    "outputs missing": (counts(outputs=1), "it counts 1 outputs"),
    "negative counts": (counts(jobs=-6), "it counts -6 jobs"),
    "counts are words": (counts(jobs="all of them"), "it counts all of them jobs"),
    "counts are no object": (says(staged_counts=[6, 6, 6]), "its counts are not counts"),
    "counts are a fraction": (counts(jobs=6.5), "it counts 6.5 jobs"),
    "unknown version": (says(canonical_version=2), "version 2 of the rules"),
    "version is a word": (says(canonical_version="newest"), "version newest of the rules"),
    "everything at once": (says(status="open", hash=OTHER, staged_counts=FEW | {"jobs": 1}), "open, not closed"),
}


@pytest.mark.parametrize(("lie", "words"), FINALIZE_LIES.values(), ids=list(FINALIZE_LIES))
def test_a_contradictory_receipt_fails_the_publish(folder: StateFolder, lie: Lie, words: str) -> None:
    with Liar.of(LINEAGE).served() as liar:
        liar.lies["finalize"] = lie
        client = Client.of(folder, liar.url)
        progress = client.run()
    assert (progress.state, progress.reason, progress.hash) == (State.FAILED, Reason.RECEIPT, None)
    assert words in progress.detail
    assert "\x1b" not in progress.detail
    assert progress.receipt is not None, "what the registry said is kept"
    assert "labels/batch" not in liar.calls, "nothing follows what is not believed"


BATCH_LIES: dict[str, tuple[str, Lie, str]] = {
    "fewer jobs": ("jobs/batch", says(created_count=1, existing_count=0), "it reports 1 of the"),
    "no jobs": ("jobs/batch", says(created_count=0, existing_count=0), "it reports 0 of the"),
    "more jobs": ("jobs/batch", says(created_count=4, existing_count=4), "it reports 8 of the 4 jobs"),
    "negative jobs": ("jobs/batch", says(created_count=9, existing_count=-5), "it reports 4 of the"),
    "one id for all": ("jobs/batch", says(job_ids=["id1"]), "it returns 1 ids for the"),
    "ids of more jobs": ("jobs/batch", says(job_ids=[str(n) for n in range(9)]), "it returns 9 ids"),
    "more artifacts": ("artifacts/batch", says(created=99), "it reports 99 accepted of the"),
    "more inputs": ("inputs", says(inputs_linked=7), "it reports 7 accepted of the 1 inputs"),
    "negative outputs": ("outputs", says(outputs_linked=-1), "it reports -1 accepted of the 1 outputs"),
    "published as no hash": ("jobs/batch", says(already_registered_session_hashes=["latest"]), "not a hash"),
    "published as a number": ("jobs/batch", says(already_registered_session_hashes=[7]), "not a hash"),
    "published as another": ("jobs/batch", says(already_registered_session_hashes=[OTHER]), f"published as {OTHER}"),
    "made closed": ("registration-sessions", says(status="closed", created=True), "the session is closed"),
}


@pytest.mark.parametrize("staged", [True, False], ids=["staged", "legacy"])
@pytest.mark.parametrize(("call", "lie", "words"), BATCH_LIES.values(), ids=list(BATCH_LIES))
def test_an_answer_that_contradicts_what_was_sent_ends_the_publish(
    folder: StateFolder, call: str, lie: Lie, words: str, staged: bool
) -> None:
    if not staged and (call == "registration-sessions" or "published" in words or "not a hash" in words):
        return  # an older registry has no sessions, and knows nothing of other lineages
    with Liar.of(LINEAGE, staged=staged).served() as liar:
        nothing_new = {"created_count": 0, "existing_count": 0} if "hash" in words or "published" in words else {}
        liar.lies[call] = lambda answer: lie(answer) | nothing_new
        progress = Client.of(folder, liar.url).run()
    assert (progress.state, progress.reason) == (State.FAILED, Reason.RECEIPT), progress.detail
    assert words in progress.detail
    assert "finalize" not in liar.calls


@pytest.mark.parametrize("hash_", [OTHER, "latest", ""], ids=["another", "no hash", "empty"])
def test_an_older_registry_that_registers_something_else_is_not_written_to(folder: StateFolder, hash_: str) -> None:
    with Liar.of(LINEAGE, staged=False).served() as liar:
        liar.lies["sessions"] = says(hash=hash_)
        progress = Client.of(folder, liar.url).run()
    assert (progress.state, progress.reason) == (State.FAILED, Reason.RECEIPT)
    assert "jobs/batch" not in liar.calls


LABEL_LIES: dict[str, tuple[Lie, str]] = {
    "one is skipped": (some_labels, "did not accept 1 of the"),
    "none is taken": (says(created=0), "did not accept 4 of the 4 labels"),
    "more than were sent": (says(created=99), "it reports 99 accepted of the"),
    "one is refused": (lambda answer: answer | {"errors": ["no", *[None] * (answer["created"] - 1)]}, "): no"),
}


@pytest.mark.parametrize("staged", [True, False], ids=["staged", "legacy"])
@pytest.mark.parametrize(("lie", "words"), LABEL_LIES.values(), ids=list(LABEL_LIES))
def test_labels_that_were_not_accepted_are_reported_and_recorded(
    folder: StateFolder, lie: Lie, words: str, staged: bool
) -> None:
    with Liar.of(LINEAGE, staged=staged).served() as liar:
        liar.lies["labels/batch"] = liar.lies["labels/sync"] = lie
        client = Client.of(folder, liar.url)
        progress = client.run()
    assert progress.state is State.DONE
    assert progress.unconfirmed is not None
    assert progress.unconfirmed.what is DebtKind.REFUSED_LABELS
    assert words in progress.unconfirmed.why
    assert count_status(client.paths).reason == Reason.RECEIPT


HONEST: dict[str, Lie] = {
    "says everything": lambda answer: answer,
    "says only the hash": without("url", "staged_counts", "status", "created", "canonical_version"),
    "nulls": says(url=None, staged_counts=None, status=None, created=None, canonical_version=None),
    "counts only jobs": says(staged_counts={"jobs": 6}),
    "counts as texts": says(staged_counts={"jobs": "6", "inputs": 6.0, "outputs": "6"}),
    "version as a text": says(canonical_version="1"),
    "status of the request": says(status="ok"),
    "another word for closed": says(status="Finalized"),
    "hash with its algorithm": lambda answer: answer | {"hash": f"SHA256:{answer['hash'].upper()}"},
    "published before": says(created=False),
    "in an envelope": lambda answer: {"success": True, "data": answer},
}


@pytest.mark.parametrize("lie", HONEST.values(), ids=list(HONEST))
def test_missing_fields_are_not_judged(folder: StateFolder, lie: Lie) -> None:
    with Liar.of(LINEAGE).served() as liar:
        liar.lies["finalize"] = lie
        client = Client.of(folder, liar.url)
        progress = client.run()
    assert (progress.state, progress.hash, progress.owed) == (State.DONE, LINEAGE.hash, ())
    assert client.notes == ""


def test_a_lineage_that_the_registry_has_as_private_is_not_called_public(folder: StateFolder) -> None:
    with Liar.of(LINEAGE).served() as liar:
        liar.lies["finalize"] = says(visibility="private", created=False)
        client = Client.of(folder, liar.url)
        client.run()
    status = count_status(client.paths)
    assert Result(status.plan, status.progress).visibility == "private"
    assert "already has this lineage as private" in client.notes


NOT_SHOWN: dict[str, Callable[[str, str], str]] = {
    "another host": lambda url, name: f"https://evil.example/dag/{name}",
    "another port": lambda url, name: f"http://127.0.0.1:1/dag/{name}",
    "another scheme": lambda url, name: f"https{url.removeprefix('http')}/dag/{name}",
    "user in front": lambda url, name: f"{url}@evil.example/dag/{name}",
    "backslash": lambda url, name: f"http://evil.example\\@{url.removeprefix('http://')}/dag/{name}",
    "script": lambda url, name: f"javascript:alert('{name}')",
    "file": lambda url, name: "file:///etc/passwd",
    "no host": lambda url, name: f"http:///dag/{name}",
    "no port": lambda url, name: f"http://127.0.0.1:x/dag/{name}",
    "page of another lineage": lambda url, name: f"{url}/dag/{OTHER}",
}


@pytest.mark.parametrize("staged", [True, False], ids=["staged", "legacy"])
@pytest.mark.parametrize("page", NOT_SHOWN.values(), ids=list(NOT_SHOWN))
def test_a_page_elsewhere_is_not_shown_as_a_link(
    folder: StateFolder, page: Callable[[str, str], str], staged: bool
) -> None:
    with Liar.of(LINEAGE, staged=staged).served() as liar:
        liar.lies["finalize"] = liar.lies["sessions"] = says(url=page(liar.url, LINEAGE.hash))
        client = Client.of(folder, liar.url)
        progress = client.run()
    assert (progress.state, progress.url) == (State.DONE, None)
    assert "not shown" in client.notes
    assert "://" not in client.notes


def test_a_hash_is_not_compared_where_it_cannot_be_known(folder: StateFolder) -> None:
    """In a plan of an older release."""
    with Liar.of(LINEAGE, name=OTHER).served() as liar:
        progress = Client.of(folder, liar.url, published={}).run()
    assert (progress.state, progress.hash) == (State.DONE, OTHER)


def test_a_hash_that_names_another_publisher_is_reported(folder: StateFolder) -> None:
    hashes = {ANONYMOUS_IDENTITY: LINEAGE.hash, "treqs:user:7": OTHER}
    with Liar.of(LINEAGE, name=OTHER).served() as liar:
        client = Client.of(folder, liar.url, published=hashes)
        progress = client.run()
    assert (progress.state, progress.hash) == (State.DONE, OTHER)
    assert "the registry's hash names treqs:user:7 as the publisher, not anonymous" in client.notes


def test_jobs_that_were_published_with_other_redactions_are_published_before(folder: StateFolder) -> None:
    known = says(created_count=0, existing_count=0, already_registered_session_hashes=[OTHER])
    with Liar.of(LINEAGE).served() as liar:
        liar.lies["jobs/batch"] = known
        client = Client.of(folder, liar.url, redacted=True)
        progress = client.run()
    assert (progress.state, progress.hash) == (State.DONE, OTHER)
    assert "published before with other redactions" in client.notes


def test_a_receipt_that_is_corrected_is_taken_at_the_next_try(folder: StateFolder) -> None:
    with Liar.of(LINEAGE).served() as liar:
        liar.lies["finalize"] = counts(jobs=5)
        client = Client.of(folder, liar.url)
        assert client.run().state is State.FAILED
        assert client.run().state is State.FAILED, "what has failed is not tried again by itself"
        asked = len(liar.calls)
        client.retry()
        assert (client.run().reason, liar.calls[asked:]) == (
            Reason.RECEIPT,
            ["health", "registration-sessions", "finalize"],
        )
        del liar.lies["finalize"]
        client.retry()
        progress = client.run()
    assert (progress.state, progress.hash, progress.reason) == (State.DONE, LINEAGE.hash, "")
    assert liar.calls.count("jobs/batch") == 2, "two batches, each sent once"
    assert liar.calls.count("labels/batch") == 2


def test_a_receipt_is_kept_shortened(folder: StateFolder) -> None:
    with Liar.of(LINEAGE).served() as liar:
        liar.lies["finalize"] = says(status="x" * 100_000, staged_counts={"jobs": list(range(10_000))})
        progress = Client.of(folder, liar.url).run()
    assert progress.state is State.FAILED
    assert progress.receipt is not None
    assert len(str(progress.receipt)) < 2000
    assert len(progress.detail) < 3000
